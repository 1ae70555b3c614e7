"""`composer explain`: what would be built, and why."""

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.text import Text

from composer.blueprint.draw import draw
from composer.blueprint.explain import FindOrigin, Setting, explained
from composer.blueprint.text import WIDTH, Line, changes, fields, styled
from composer.catalog.catalog import Catalog
from composer.cli.console import Console, print_json
from composer.config import Auto, Config, Family
from composer.errors import OutputError, Problem, shown
from composer.experiment import Experiment, ExperimentConfig
from composer.listing.answers import summary
from composer.loading import as_experiment
from composer.loading.paths import parts_of
from composer.spaces import describe

STYLES = {
    "": "",
    "name": "bold cyan",
    "title": "bold",
    "number": "green",
    "value": "yellow",
    "faint": "dim",
}
"""The colours of a terminal."""


def run(args: argparse.Namespace) -> int:
    """Prints the blueprint, or what was asked for instead; writes only the file of `--out`."""
    experiment = Experiment.load(args.words, args.config_dir)
    if args.yaml:
        data = experiment.to_data()
        data["catalog"] = data.pop("catalog")  # the longest part comes last
        print(as_experiment(data), end="")
    elif experiment.is_hand_written:
        _explain_hand_written(experiment, args)
    else:
        _explain_composed(experiment, args)
    return 0


def _explain_composed(experiment: Experiment, args: argparse.Namespace) -> None:
    origin = _origin_of(experiment)
    explanation = explained(experiment.blueprint, origin, _settings(experiment, origin))
    if args.out is not None:
        draw(explanation, Path(args.out))
    elif args.json:
        print_json(asdict(explanation))
    else:
        _print(lambda width: styled(explanation, width, every_setting=args.all))


def _explain_hand_written(experiment: Experiment, args: argparse.Namespace) -> None:
    """What there is to say of a class: its submodules, what it offers, how large it is."""
    experiment.require_model()
    model, settings = experiment.custom_model, _settings(experiment, _origin_of(experiment))
    if args.out is not None:
        raise OutputError(
            Problem("a hand-written model has no graph to draw", "--out", args.out, fix="--json")
        )
    if args.json:
        print_json(model.to_data() | {"settings": [asdict(setting) for setting in settings]})
        return
    trial = model.trial
    rows = {
        "observation": describe(model.observation_space),
        "action": describe(model.action_space),
        "algorithm": experiment.config.algorithm.type,
        "class": f"{model.config.path}: {summary(model.module_class)}",
        "config": shown(dict(model.config.config)),
        "parts": ", ".join(f"{p.name} ({p.type}, {p.parameters:,})" for p in trial.parts) or "none",
        "parameters": f"{trial.parameters:,}",
        "offers": ", ".join(sorted(api.label() for api in model.apis)) or "nothing",
        "required": ", ".join(model.requires) or "nothing",
        "inference-only": f"drops {', '.join(trial.drops) or 'nothing'}",
        "fingerprint": model.fingerprint,
    }
    _print(lambda width: [*fields(rows, width), (), *changes(settings, width)])


def _print(lines: Callable[[int], Iterable[Line]]) -> None:
    console = Console()
    width = min(WIDTH, console.width) if console.is_terminal else WIDTH
    for line in lines(width):
        text = Text.assemble(*((piece.text, STYLES[piece.style]) for piece in line))
        text.rstrip()
        console.print(text, soft_wrap=True)


def _origin_of(experiment: Experiment) -> FindOrigin:
    """Where the experiment's values were set."""
    loaded = experiment.loaded
    assert loaded is not None

    def origin(path: str) -> str | None:
        owner = path.removesuffix(".type")
        is_chosen = owner != path and owner.replace(".", "/") in loaded.read.chosen
        return loaded.origin(owner) if is_chosen else loaded.origins.exact(parts_of(path))

    return origin


def _settings(experiment: Experiment, origin: FindOrigin) -> list[Setting]:
    """What the experiment sets otherwise than by default."""
    config = experiment.config
    usual = ExperimentConfig.model_construct(catalog=Catalog.default().rules)
    return [
        Setting(path, value, is_default=False, set_by=origin(path))
        for path, value in _altered(config, config.to_data(), usual)
    ]


def _altered(value: Any, data: Any, usual: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values that differ from the usual ones, by path, as JSON data."""
    if isinstance(value, Auto) and value != usual:
        yield from ((f"{path}.{name}", data[name]) for name in value.hints)
        if not value.hints:
            yield path, data
    elif isinstance(value, Config) and value != usual:
        if type(usual) is not type(value):
            if usual is None and not value.altered():  # a choice to have it at all
                yield path, data
            usual = type(value).model_construct()
            if isinstance(value, Family) and not path.endswith(f".{value.type}"):
                yield f"{path}.type", value.type
        for name in type(value).model_fields:
            below = f"{path}.{name}".lstrip(".")
            yield from _altered(getattr(value, name), data[name], getattr(usual, name, None), below)
    elif isinstance(value, Mapping) and value:
        for name, item in value.items():
            by_name = usual if isinstance(usual, Mapping) else {}
            yield from _altered(item, data[name], by_name.get(name), f"{path}.{name}")
    elif value != usual:
        yield path, data
