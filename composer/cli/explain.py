"""`composer explain`: what would be built, and why."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.text import Text

from composer.blueprint.draw import draw
from composer.blueprint.explain import Explanation, Setting, explained
from composer.blueprint.text import WIDTH, styled
from composer.catalog.catalog import Catalog
from composer.cli.console import Console, print_json
from composer.config import Auto, Config, Family
from composer.experiment import Experiment, ExperimentConfig
from composer.loading import as_experiment
from composer.loading.paths import parts_of

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
    explanation = _explained(experiment)
    if args.out is not None:
        draw(explanation, Path(args.out))
    elif args.json:
        print_json(asdict(explanation))
    elif args.yaml:
        data = experiment.to_data()
        data["catalog"] = data.pop("catalog")  # the longest part comes last
        print(as_experiment(data), end="")
    else:
        _print(explanation, every_setting=args.all)
    return 0


def _print(explanation: Explanation, *, every_setting: bool) -> None:
    console = Console()
    width = min(WIDTH, console.width) if console.is_terminal else WIDTH
    for line in styled(explanation, width, every_setting=every_setting):
        text = Text.assemble(*((piece.text, STYLES[piece.style]) for piece in line))
        text.rstrip()
        console.print(text, soft_wrap=True)


def _explained(experiment: Experiment) -> Explanation:
    """The explanation of an experiment's blueprint, with where its values were set."""
    loaded, config = experiment.loaded, experiment.config
    assert loaded is not None

    def origin(path: str) -> str | None:
        owner = path.removesuffix(".type")
        is_chosen = owner != path and owner.replace(".", "/") in loaded.read.chosen
        return loaded.origin(owner) if is_chosen else loaded.origins.exact(parts_of(path))

    usual = ExperimentConfig.model_construct(catalog=Catalog.default().rules)
    settings = [
        Setting(path, value, is_default=False, set_by=origin(path))
        for path, value in _altered(config, config.to_data(), usual)
    ]
    return explained(experiment.blueprint, origin, settings)


def _altered(value: Any, data: Any, usual: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values that differ from the usual ones, by path, as JSON data."""
    if isinstance(value, Auto) and value != usual:
        yield from ((f"{path}.{name}", data[name]) for name in value.hints)
        if not value.hints:
            yield path, data
    elif isinstance(value, Config) and value != usual:
        if type(usual) is not type(value):
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
