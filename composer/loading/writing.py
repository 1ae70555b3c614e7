"""A whole configuration → the text of an experiment file that composes to it again."""

import io
import re
from collections.abc import Mapping
from typing import Any

import yaml

from composer.loading.files import ConfigFiles

_TUNED = "tuned"
"""The group whose files set keys of all others."""


def as_experiment(data: Mapping[str, Any]) -> str:
    """The text of a file `conf/experiment/NAME.yaml` that composes to exactly `data`.

    Its defaults list leaves every group out, so that nothing of another option is merged in.

    Args:
        data: The whole configuration as JSON data, every default filled in.
    """
    groups = [g for g in ConfigFiles().base if g.split("/")[0] in data or g == _TUNED]
    header = ["# @package _global_", "defaults:", *(f"  - override /{g}: null" for g in groups), ""]
    node = _Dumper(io.StringIO(), sort_keys=False).represent_data(dict(data))
    _finish(node)
    body = yaml.serialize(node, Dumper=_Dumper, width=100, allow_unicode=True)
    return "\n".join([*header, str(body)])


class _Dumper(yaml.SafeDumper):
    """Quotes the text that OmegaConf, but not PyYAML, takes for a number: `1e-3`; and keys such
    as `a.b`, which without quotes are refused as a path.
    """

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    quote = "'" if re.search(r"^[-+\d]|[./:]", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=quote)


_Dumper.add_representer(str, _text)


def _finish(node: yaml.Node, depth: int = 0) -> None:
    """Escapes what OmegaConf would take for another value, `${…}`, and chooses what fits a line.

    That is lists, and mappings below the second level that hold no mapping of mappings.
    """
    below = _values(node)
    if isinstance(node, yaml.ScalarNode):
        node.value = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", node.value)
    elif isinstance(node, yaml.SequenceNode):
        node.flow_style = True
    elif isinstance(node, yaml.MappingNode):
        is_small = not any(_values(item) for value in below for item in _values(value))
        node.flow_style = not below or (depth >= 2 and is_small)
    for value in below:
        _finish(value, depth + 1)


def _values(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [value for _, value in node.value]
    return node.value if isinstance(node, yaml.SequenceNode) else []
