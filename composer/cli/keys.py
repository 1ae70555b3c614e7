"""The keys of an experiment, and what may stand there, from its JSON schema."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Node = dict[str, Any]
COMBINED = ("allOf", "anyOf", "oneOf")


class Keys:
    """A walk through a JSON schema (2020-12) by dotted paths.

    Args:
        schema: The schema; `{}` has no keys.
        selected: The type of the part at a path, where it is known. Of a family only the fields of
            that member are offered; those of all, where it is None or `auto`.
    """

    def __init__(self, schema: Node, selected: Callable[[str], str | None]) -> None:
        self.schema = schema
        self.selected = selected

    def below(self, path: str) -> Iterator[tuple[str, str]]:
        """`algorithm.lr=` for a value, `model.encoder.` for more keys; each with its meaning."""
        for name, nodes in self._children(path).items():
            key = f"{path}.{name}" if path else name
            meaning = next((node["description"] for node in nodes if "description" in node), "")
            branches = list(self._branches(nodes))
            has_keys = any(_has_keys(branch) for branch in branches)
            if has_keys:
                yield f"{key}.", meaning.partition("\n")[0]
            if not has_keys or any(_choices(branch) for branch in branches):
                yield f"{key}=", meaning.partition("\n")[0]

    def values(self, path: str) -> Iterator[str]:
        """The values that can be listed: choices, booleans, null."""
        parent, _, name = path.rpartition(".")
        for branch in self._branches(self._children(parent).get(name, ())):
            kinds = branch.get("type", ())
            for kind in [kinds] if isinstance(kinds, str) else kinds:
                yield from {"boolean": ("true", "false"), "null": ("null",)}.get(kind, ())
            for value in _choices(branch):
                yield value if isinstance(value, str) else json.dumps(value)

    def _children(self, path: str) -> dict[str, list[Node]]:
        found: dict[str, list[Node]] = {}
        for branch in self._branches(self._at(path)):
            narrowed = self._is_other(branch, path)
            for name, node in branch.get("properties", {}).items():
                if name == "type" or not narrowed:
                    found.setdefault(name, []).append(node)
        return found

    def _at(self, path: str) -> list[Node]:
        if not path:
            return [self.schema]
        parent, _, name = path.rpartition(".")
        named = (
            branch["additionalProperties"]
            for branch in self._branches(self._at(parent))
            if isinstance(branch.get("additionalProperties"), dict)
        )
        return self._children(parent).get(name) or list(named)

    def _is_other(self, branch: Node, path: str) -> bool:
        """Whether it describes a member of the family that is not selected."""
        tag = branch.get("properties", {}).get("type", {})
        tags = [value for part in self._branches([tag]) for value in _choices(part)]
        return bool(tags) and self.selected(path) not in (None, "auto", *tags)

    def _branches(self, nodes: Sequence[Node]) -> Iterator[Node]:
        """The nodes and all that they refer to or combine."""
        for node in nodes:
            yield node
            if "$ref" in node:
                yield from self._branches([self._referred(node["$ref"])])
            for key in COMBINED:
                yield from self._branches(node.get(key, ()))

    def _referred(self, reference: str) -> Node:
        found = self.schema
        for part in reference.removeprefix("#").strip("/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        return found


def _has_keys(branch: Node) -> bool:
    named = branch.get("properties", {}).keys() - {"type"}
    return bool(named) or isinstance(branch.get("additionalProperties"), dict)


def _choices(branch: Node) -> list[Any]:
    return [*branch.get("enum", ()), *([branch["const"]] if "const" in branch else [])]
