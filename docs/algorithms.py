"""Makes `docs/algorithms.md` from the algorithms there are: `python docs/algorithms.py`."""

from collections.abc import Iterator
from pathlib import Path

from spaces import ACTIONS, Row, family, listed, table

from composer import ComposerError, compose
from composer.algorithms.base import AlgorithmConfig
from composer.heads.base import HeadConfig
from composer.listing import Listing
from composer.spaces import describe

PAGE = Path(__file__).parent / "algorithms.md"
INTRODUCTION = """# Algorithms

What each algorithm requires of a module, where it can act, and what can be set. This page is made
from the algorithms, the heads and the optimisers by `make docs`.

    composer ls algorithms
    composer ls apis
    composer explain env=pendulum algorithm=sac
"""
REQUIRED = """
## What is required

A composed module has what its heads supply; a module of your own has a method, and the error says
which: [A module of your own](custom_modules.md).
"""

ACTED = """
## Where they act

The distribution that is chosen for actions like these; – where there is none.
"""


def text() -> str:
    """The page."""
    listing = Listing()
    apis = [
        (f"`{row['name']}`", f"`{row['method']}`", _joined(row["supplied by"]))
        for row in listing.rows("apis")
    ]
    algorithms = [
        (f"`{row['name']}`", str(row["what"]), _joined(row["requires"]), str(row["memory"]))
        for row in listing.rows("algorithms")
    ]
    tags = AlgorithmConfig.tags()
    sections = [
        INTRODUCTION,
        table(("algorithm", "", "requires", "a [memory](memories.md)"), algorithms),
        REQUIRED,
        table(("", "method", "supplied by"), apis),
        ACTED,
        table(("actions like", "", *listed(tags).split(", ")), acting(tags)),
        "\n## Settings of the algorithms\n",
        *family(AlgorithmConfig),
        "\n## Settings of the heads, below `model.heads`\n",
        *family(HeadConfig),
    ]
    return "\n".join(sections) + "\n"


def acting(tags: tuple[str, ...]) -> Iterator[Row]:
    """Each kind of action, and by what distribution each algorithm acts there."""
    observed = ACTIONS["real, bounded"]
    for kind, space in ACTIONS.items():
        yield kind, f"`{describe(space)}`", *(_distribution(observed, space, tag) for tag in tags)


def _distribution(observed: object, space: object, tag: str) -> str:
    try:
        return f"`{compose(observed, space, algorithm=tag).by_name['distribution'].config.type}`"
    except ComposerError:
        return "–"


def _joined(names: object) -> str:
    return ", ".join(map(str, names)) if isinstance(names, list | tuple) else str(names)


if __name__ == "__main__":
    PAGE.write_text(text())
