"""A blueprint as text: what would be built, and why."""

import textwrap
from typing import TYPE_CHECKING

from composer.blueprint.nodes import HeadNode, Node
from composer.config import Config
from composer.errors import shown
from composer.spaces import describe

if TYPE_CHECKING:
    from composer.blueprint.blueprint import Blueprint

WIDTH = 100


def explain(blueprint: "Blueprint") -> str:
    """Spaces, then a paragraph a part, then what the module offers and drops."""
    counts = blueprint.parameter_counts
    rows = [
        (node.name, _what(node), f"{node.takes()} → {node.out_dim}", f"{counts[node.name]:,}")
        for node in blueprint.nodes
    ]
    titles = ("part", "is", "in → out", "parameters")
    widths = [max(len(row[i]) for row in (titles, *rows)) for i in range(4)]
    lines = [
        f"observation  {describe(blueprint.observation_space)}",
        f"action       {describe(blueprint.action_space)}",
        f"algorithm    {blueprint.algorithm or 'none: a policy head only'}",
        "",
        _row(titles, widths),
    ]
    for node, row in zip(blueprint.nodes, rows, strict=True):
        lines.append(_row(row, widths))
        lines += _indented(f"{node.reason}")
        if settings := _settings(node.config):  # pyright: ignore[reportAttributeAccessIssue]
            lines += _indented(settings)
        if isinstance(node, HeadNode):
            lines += _indented(f"reads {node.trunk}" + (", detached" * node.stop_gradient))
    offers = sorted(api.label() for api in blueprint.apis)
    lines += [
        "",
        f"parameters      {blueprint.parameter_count:,}",
        f"offers          {', '.join(offers) or 'nothing'}",
        f"required        {', '.join(blueprint.requires) or 'nothing'}",
        f"inference-only  drops {', '.join(blueprint.non_inference_parts) or 'nothing'}",
        f"fingerprint     {blueprint.fingerprint}",
    ]
    return "\n".join(lines)


def _what(node: Node) -> str:
    return f"{node.type} {node.config.type}"  # pyright: ignore[reportAttributeAccessIssue]


def _settings(config: Config) -> str:
    """Every field of a part's config, on one line."""
    data = config.to_data()
    return ", ".join(
        f"{name}={_brief(value)}"
        for name, value in data.items()
        if name not in ("type", "reads", "stop_gradient")
    )


def _brief(value: object) -> str:
    """`{type: orthogonal, gain: 1.41421}` as `orthogonal(gain=1.414)`."""
    if isinstance(value, dict) and "type" in value:
        arguments = ", ".join(f"{k}={_brief(v)}" for k, v in value.items() if k != "type")
        return f"{value['type']}({arguments})" if arguments else str(value["type"])
    if isinstance(value, dict):
        return " ".join(_brief(item) for item in value.values())
    if isinstance(value, list):
        return f"[{', '.join(map(_brief, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else shown(value)


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    *left, last = (
        cell.ljust(width) if i < 3 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([*left, last])


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="      ")
