"""`composer diff`: what differs between two experiments, runs or blueprints."""

import argparse
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from composer.blueprint.blueprint import Blueprint
from composer.cli.console import Console, print_json, print_table
from composer.cli.resume import resumable
from composer.comparison import (
    ABSENT,
    Comparison,
    Difference,
    compare,
    differences,
    node_differences,
)
from composer.errors import (
    Problem,
    RunDirectoryError,
    UsageError,
    did_you_mean,
    nearest,
    nearest_first,
    shown,
)
from composer.experiment import Experiment
from composer.files import read_json
from composer.loading import options
from composer.module.custom import CustomModel
from composer.training.run_directory import EXPERIMENT

Model = Blueprint | CustomModel
Settings = tuple[Mapping[str, Any], Mapping[str, Any]] | None


@dataclass(frozen=True)
class Side:
    """One of the two things compared."""

    text: str
    """As it was typed."""
    model: Model
    settings: Mapping[str, Any] | None = None
    origin: Callable[[str], str | None] = lambda _: None


def run(args: argparse.Namespace) -> int:
    """Compares, and shows."""
    a, b = (_side(text, args) for text in (args.a, args.b))
    both = (a.settings, b.settings) if a.settings and b.settings else None
    found = _compared(a.model, b.model, both)
    if args.json:
        print_json(_data(found))
    else:
        _show(found, a, b)
    return 0


def _compared(a: Model, b: Model, settings: Settings) -> Comparison:
    """What differs; of a hand-written model only its settings and its size are known."""
    if isinstance(a, Blueprint) and isinstance(b, Blueprint):
        return compare(a, b, settings)
    return Comparison(
        settings=list(differences(*settings)) if settings else [],
        parts=[],
        same_parts=[],
        parameters=(a.parameter_count, b.parameter_count),
        follows=["a hand-written model has no graph: its parts are not compared"],
    )


def _side(text: str, args: argparse.Namespace) -> Side:
    path, config_dir = Path(text), args.config_dir
    if text and path.is_dir():
        return _saved(path, config_dir)
    if path.is_file() and path.suffix in (".yaml", ".yml"):
        fix = _line(args, text, path.stem, str(path.parent.parent))
        raise UsageError(Problem(f"{text} is YAML; an experiment is given by its name", fix=fix))
    if path.is_file():
        data = read_json(path)
        if isinstance(data, dict) and "nodes" in data:
            return Side(text, Blueprint.from_data(data))
        return _experiment(text, Experiment.from_data(data, config_dir))
    if "=" in text or not text:
        return _experiment(text, Experiment.load(_words(text), config_dir))
    names = options("experiment", config_dir)
    if text in names:
        return _experiment(text, Experiment.load([f"experiment={text}"], config_dir))
    close = nearest(text, names)
    raise UsageError(
        Problem(
            f'`{text}` is no run, no file, no words such as "env=cartpole seed=1", and no '
            f"experiment{did_you_mean(text, names)}",
            valid=nearest_first(text, names),
            fix=_line(args, text, close, config_dir) if close else None,
        )
    )


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:  # a quote is not closed
        raise UsageError(f"`{text}` cannot be read: {str(error).lower()}") from None


def _line(args: argparse.Namespace, text: str, right: str, config_dir: str | None) -> str:
    """The command with one side put right."""
    sides = [right if side == text else side for side in (args.a, args.b)]
    flags = ["--config-dir", config_dir] if config_dir else []
    return shlex.join(["composer", "diff", *flags, *sides])


def _saved(path: Path, config_dir: str | None) -> Side:
    """A run's directory, or one of its checkpoints."""
    if not (path / EXPERIMENT).is_file():
        raise RunDirectoryError(f"{path} is neither a run nor a checkpoint: it has no {EXPERIMENT}")
    experiment = Experiment.from_data(read_json(path / EXPERIMENT), config_dir)
    if experiment.is_hand_written:
        model = experiment.model
    elif (path / "module" / "module.json").is_file():
        model = Blueprint.from_data(read_json(path / "module" / "module.json")["blueprint"])
    elif (path / "blueprint.json").is_file():
        model = Blueprint.from_data(read_json(path / "blueprint.json"))
    else:
        model = experiment.model
    return Side(str(path), model, experiment.to_data())


def _experiment(text: str, experiment: Experiment) -> Side:
    origin = experiment.loaded.origin if experiment.loaded else lambda _: None
    return Side(text, experiment.model, experiment.to_data(), origin)


def _show(found: Comparison, a: Side, b: Side) -> None:
    console = Console()
    for name, side in (("A", a), ("B", b)):
        text = side.text or "(the defaults)"
        console.print(f"{name}  {text}", soft_wrap=True, highlight=False, markup=False)
    if found.settings:
        places = [_set_by(item.path, a, b) for item in found.settings]
        rows = [
            (item.path, _value(item.a), _value(item.b), *([place] if any(places) else []))
            for item, place in zip(found.settings, places, strict=True)
        ]
        console.print()
        print_table(console, ("setting", "A", "B", "set by")[: len(rows[0])], rows)
    if found.parts:
        one, other = found.parameters
        change = f" ({(other - one) / one:+.1%})" if one else ""
        rows = [row for part in found.parts for row in _rows(part)]
        console.print()
        print_table(
            console,
            ("part", "A", "B"),
            [*rows, ("parameters", f"{one:,}", f"{other:,}{change}")],
        )
    if not found.settings and not found.parts:
        console.print("\nnothing differs")
    follows = [*found.follows, *_of_resuming(found)]
    console.print("", *follows, sep="\n", soft_wrap=True, highlight=False)


def _of_resuming(found: Comparison) -> Iterator[str]:
    fixed = [item.path for item in found.settings if not resumable(item.path)]
    if fixed:
        yield f"a run of one cannot be resumed as the other: {', '.join(fixed)} cannot change"
    elif found.settings:
        yield "a run of one can be resumed as the other"


def _set_by(path: str, *sides: Side) -> str:
    """Where people have set it; what Composer's own files set is not theirs."""
    found = dict.fromkeys(side.origin(path) for side in sides)
    return " / ".join(place for place in found if place and not place.endswith("(built in)"))


def _rows(part: Difference) -> Iterator[tuple[str, str, str]]:
    """A row for the part, or one for each thing inside it that differs."""
    if ABSENT in (part.a, part.b):
        yield part.path, _what(part.a), _what(part.b)
        return
    inside = list(node_differences(part))
    takes = part.a.takes(), part.b.takes()
    if takes[0] != takes[1]:  # says in a word what the space's fields say one by one
        yield f"{part.path}  takes", *takes
        inside = [item for item in inside if not item.path.startswith(("space.", "in_dim"))]
    for item in inside:
        yield f"{part.path}  {item.path}", _value(item.a), _value(item.b)


def _what(node: Any) -> str:
    if node is ABSENT:
        return "–"
    return f"{node.type} {node.config.type}, {node.takes()} → {node.out_dim}"


def _value(value: object) -> str:
    return "–" if value is ABSENT else shown(value)


def _data(found: Comparison) -> dict[str, Any]:
    return {
        "settings": [_json(item) for item in found.settings],
        "parts": [
            {"name": part.path, "a": _what(part.a), "b": _what(part.b)}
            if ABSENT in (part.a, part.b)
            else {"name": part.path, "differs": [_json(item) for item in node_differences(part)]}
            for part in found.parts
        ],
        "same_parts": found.same_parts,
        "parameters": found.parameters,
        "follows": [*found.follows, *_of_resuming(found)],
    }


def _json(item: Difference) -> dict[str, Any]:
    """A side that lacks the setting has no key of its own."""
    sides = {name: value for name, value in (("a", item.a), ("b", item.b)) if value is not ABSENT}
    return {"path": item.path, **sides}
