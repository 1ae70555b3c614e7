"""A blueprint's picture as a file: Mermaid's text, a page, or what Graphviz draws."""

import html
import shlex
from pathlib import Path

from composer.blueprint.explain import Explanation
from composer.blueprint.graph import COLOURS, OTHER, Graph, graph_of
from composer.blueprint.page import page
from composer.errors import ComposerError, OutputError, Problem


def draw(explanation: Explanation, path: Path) -> None:
    """Writes the picture, in the format that the file's suffix names.

    Raises:
        ComposerError: If the suffix names no format, what draws it is not installed, or the file
            cannot be written.
    """
    graph = graph_of(explanation)
    formats = {
        ".html": lambda: page(graph, explanation).encode(),
        ".mmd": lambda: mermaid(graph).encode(),
        ".png": lambda: graphviz(graph, "png"),
        ".svg": lambda: graphviz(graph, "svg"),
    }
    if path.suffix not in formats:
        message = "the suffix names the picture's format"
        page_beside = path.parent / f"{path.stem or 'model'}.html"
        fix = f"--out {shlex.quote(str(page_beside))}"
        raise OutputError(Problem(message, "--out", path, valid=tuple(formats), fix=fix))
    picture = formats[path.suffix]()
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None


def mermaid(graph: Graph) -> str:
    """A flowchart in Mermaid's language."""
    ids = _ids(graph)
    lines = ["flowchart LR"]
    for name, box in graph.boxes.items():
        text = "<br/>".join([f"<b>{_entities(box.title)}</b>", *map(_entities, box.lines)])
        left, right = ("([", "])") if box.kind == "space" else ("[", "]")
        lines.append(f'  {ids[name]}{left}"{text}"{right}')
    for arrow in graph.arrows:
        line = "-.->" if arrow.detached else "-->"
        label = f'|"{arrow.gives}"|' if arrow.gives else ""
        lines.append(f"  {ids[arrow.source]} {line}{label} {ids[arrow.target]}")
    for name, box in graph.boxes.items():
        dash = ",stroke-dasharray:5 4" if box.training_only else ""
        colour = COLOURS.get(box.kind, OTHER)
        lines.append(f"  style {ids[name]} stroke:{colour},stroke-width:2px{dash}")
    return "\n".join(lines) + "\n"


def _entities(text: str) -> str:
    """What means something to Mermaid or HTML by number; a backtick, which has none, as a quote."""
    letters = text.replace("`", "'")
    return "".join(f"#{ord(letter)};" if letter in '"#&<>\\|' else letter for letter in letters)


def graphviz(graph: Graph, suffix: str) -> bytes:
    """The picture that Graphviz makes.

    Raises:
        ComposerError: If Graphviz or its Python package is not installed.
    """
    try:
        import graphviz as library
    except ModuleNotFoundError:
        fix = 'pip install "rl-composer[draw]"'
        raise _missing(suffix, "Graphviz and its Python package", fix) from None
    font = "Helvetica,Arial,sans-serif"
    digraph = library.Digraph(
        graph_attr={"rankdir": "LR", "bgcolor": "white", "pad": "0.3", "ranksep": "0.6"},
        node_attr={"shape": "box", "fontname": font, "fontsize": "12", "margin": "0.18,0.1"},
        edge_attr={"fontname": font, "fontsize": "10", "color": "#475569", "arrowsize": "0.7"},
    )
    if suffix == "png":
        digraph.graph_attr["dpi"] = "160"
    ids = _ids(graph)
    for name, box in graph.boxes.items():
        rows = "".join(f"<br/>{html.escape(line)}" for line in box.lines)
        colour = COLOURS.get(box.kind, OTHER)
        style = "rounded,filled,dashed" if box.training_only else "rounded,filled"
        digraph.node(
            ids[name],
            f"<<b>{html.escape(box.title)}</b>{rows}>",
            color=colour,
            fillcolor=f"{colour}14",
            style=style,
            penwidth="1.6",
            tooltip=library.escape(box.tip or box.title),
        )
    for arrow in graph.arrows:
        style = "dashed" if arrow.detached else "solid"
        digraph.edge(ids[arrow.source], ids[arrow.target], arrow.gives, style=style)
    try:
        return digraph.pipe(format=suffix)
    except library.ExecutableNotFound:
        what = (
            "Graphviz, whose program `dot` is not on the PATH\n"
            "`apt-get install graphviz` brings it; a page, .html, needs nothing"
        )
        raise _missing(suffix, what, "--out model.html") from None


def _missing(suffix: str, what: str, fix: str) -> ComposerError:
    return OutputError(Problem(f"a .{suffix} is drawn by {what}", fix=fix))


def _ids(graph: Graph) -> dict[str, str]:
    return {name: f"n{index}" for index, name in enumerate(graph.boxes)}
