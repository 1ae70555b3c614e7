"""A blueprint as one HTML file: the picture, and below it the explanation. It needs no network."""

import html
from collections import defaultdict
from typing import NamedTuple

from composer.blueprint.explain import Explanation
from composer.blueprint.graph import COLOURS, OTHER, Arrow, Box, Graph
from composer.blueprint.text import styled

LETTER, LINE, PAD, GAP_X, GAP_Y = 7.1, 18, 12, 84, 22
"""Pixels: of a letter, a line, inside a box, and between boxes."""


class Place(NamedTuple):
    """Where a box stands, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


def page(graph: Graph, explanation: Explanation) -> str:
    """The file's text; light or dark as the reader's system is."""
    colours = "\n".join(f".{kind} {{ --c: {colour} }}" for kind, colour in COLOURS.items())
    title = f"{explanation.algorithm or 'policy'}: {explanation.total.parameters:,} parameters"
    return _PAGE.format(
        title=html.escape(title),
        style=_STYLE + colours,
        picture=picture(graph),
        text="\n".join(
            "".join(
                f'<span class="{piece.style}">{html.escape(piece.text)}</span>'
                if piece.style
                else html.escape(piece.text)
                for piece in line
            )
            for line in styled(explanation, every_setting=True)
        ),
    )


def picture(graph: Graph) -> str:
    """The graph as an SVG element, from left to right."""
    places = layout(graph)
    width = max(place.right for place in places.values())
    height = max(place.y + place.height for place in places.values())
    arrows = "".join(_arrow(places[a.source], places[a.target], a) for a in graph.arrows)
    labels = "".join(
        f'<text class="width" x="{places[name].right + 6:.0f}" y="{places[name].middle - 6:.0f}">'
        f"{html.escape(graph.boxes[name].gives)}</text>"
        for name in dict.fromkeys(arrow.source for arrow in graph.arrows)
    )
    boxes = "".join(_box(box, places[name]) for name, box in graph.boxes.items())
    return (
        f'<svg viewBox="-2 -2 {width + 4:.0f} {height + 4:.0f}" width="{width + 4:.0f}" '
        f'style="min-width: min(60rem, {width + 4:.0f}px)" '
        'role="img" aria-label="The parts and what they read">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>'
        f"{arrows}{labels}{boxes}</svg>"
    )


def layout(graph: Graph) -> dict[str, Place]:
    """A column for each step of the longest way to a box; in it, boxes near what they read.

    A box that reads nothing stands just before the first that reads it.
    """
    sources: dict[str, list[str]] = defaultdict(list)
    for arrow in graph.arrows:
        sources[arrow.target].append(arrow.source)
    columns: dict[str, int] = {}

    def column(name: str) -> int:
        if name not in columns:
            columns[name] = 1 + max((column(other) for other in sources[name]), default=-1)
        return columns[name]

    by_column: dict[int, list[str]] = defaultdict(list)
    for name in graph.boxes:
        readers = [column(arrow.target) for arrow in graph.arrows if arrow.source == name]
        first = min(readers, default=1) - 1
        by_column[column(name) if sources[name] else first].append(name)
    sizes = {name: _size(box) for name, box in graph.boxes.items()}
    heights = {i: sum(sizes[n][1] + GAP_Y for n in names) - GAP_Y for i, names in by_column.items()}
    tallest = max(heights.values())
    places: dict[str, Place] = {}
    x = 0.0
    for index in sorted(by_column):
        names, height = by_column[index], heights[index]
        middles = {
            name: _mean([places[other].middle for other in sources[name]] or [tallest / 2])
            for name in names
        }
        y = min(max(0.0, _mean(list(middles.values())) - height / 2), tallest - height)
        width = max(sizes[name][0] for name in names)
        for name in sorted(names, key=middles.__getitem__):
            places[name] = Place(x, y, width, sizes[name][1])
            y += sizes[name][1] + GAP_Y
        x += width + GAP_X
    return places


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _size(box: Box) -> tuple[float, float]:
    longest = max(len(box.title) * 1.16, *map(len, box.lines), 8)
    return longest * LETTER + 2 * PAD, (1 + len(box.lines)) * LINE + 2 * PAD - 4


def _box(box: Box, place: Place) -> str:
    x, y, width, height = place
    rows = "".join(
        f'<text x="{x + PAD:.0f}" y="{y + PAD - 5 + LINE * row:.0f}">{html.escape(line)}</text>'
        for row, line in enumerate((box.title, *box.lines), start=1)
    )
    dashed = " training" if box.training_only else ""
    return (
        f'<g class="box {box.kind}{dashed}"><title>{html.escape(box.tip or box.title)}</title>'
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="8"/>'
        f"{rows}</g>"
    )


def _arrow(start: Place, end: Place, arrow: Arrow) -> str:
    between = (start.right + end.x) / 2
    dashed = ' class="detached"' if arrow.detached else ""
    return (
        f'<path{dashed} d="M{start.right:.0f} {start.middle:.0f}C{between:.0f} {start.middle:.0f} '
        f'{between:.0f} {end.middle:.0f} {end.x:.0f} {end.middle:.0f}" marker-end="url(#tip)"/>'
    )


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
<h1>{title}</h1>
<figure>{picture}</figure>
<p class="faint">Dashed boxes are for training only. An arrow carries as many features as it says;
nothing is trained through a dashed one.</p>
<pre>{text}</pre>
</html>
"""
_STYLE = f"""
:root {{ color-scheme: light dark; --ink: #0f172a; --page: #ffffff; --dim: #64748b;
  --line: #94a3b8; --name: #1d4ed8; --number: #15803d; --value: #b45309 }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e2e8f0; --page: #0b1120; --dim: #94a3b8;
  --line: #64748b; --name: #7dd3fc; --number: #86efac; --value: #fcd34d }} }}
body {{ margin: 2rem; color: var(--ink); background: var(--page);
  font: 14px/1.5 system-ui, sans-serif }}
h1 {{ font-size: 1.2rem }}
figure, pre {{ margin: 1.5rem 0; overflow-x: auto }}
pre {{ font: 12.5px/1.5 ui-monospace, "DejaVu Sans Mono", monospace }}
svg {{ font: 12.5px system-ui, sans-serif; max-width: 100%; height: auto }}
svg text {{ fill: var(--ink) }}
svg rect + text {{ font-weight: 600 }}
svg .width {{ fill: var(--dim); font-size: 11px;
  paint-order: stroke; stroke: var(--page); stroke-width: 4px }}
svg > path {{ fill: none; stroke: var(--line); stroke-width: 1.5 }}
marker path {{ fill: var(--line) }}
.detached, .training rect {{ stroke-dasharray: 5 4 }}
.box {{ --c: {OTHER} }}
.box rect {{ stroke: var(--c); stroke-width: 1.8;
  fill: color-mix(in srgb, var(--c) 12%, var(--page)) }}
.name {{ color: var(--name); font-weight: 600 }}
.title {{ font-weight: 600 }}
.number {{ color: var(--number) }}
.value {{ color: var(--value) }}
.faint {{ color: var(--dim) }}
"""
