"""`composer init`: a small project of one's own."""

import argparse
import json
import shlex
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from composer.errors import OutputError
from composer.experiment import load_with_plugins
from composer.schema import EXPERIMENT, json_schema


def run(args: argparse.Namespace) -> int:
    """Writes an experiment, an encoder and its test, and says what to type next."""
    directory = Path(args.directory)
    if directory.exists() and not directory.is_dir():
        raise OutputError(f"{directory} is a file; name a directory that is new or empty")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if next(directory.iterdir(), None) is not None:
            raise OutputError(
                f"{directory} is not empty, and nothing is overwritten; name a new directory"
            )
        _copy(files("composer.cli").joinpath("project"), directory)
        _write_schema(directory / "conf")
    except OSError as error:
        raise OutputError(f"{error.filename or directory}: {error.strerror}") from None
    print(
        f"wrote {directory}; now\n\n"
        f"    cd {shlex.quote(str(directory))}\n"
        f"    composer train --config-dir conf experiment=mine"
    )
    return 0


def _copy(source: Traversable, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for entry in source.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            _copy(entry, target / entry.name)
        elif entry.is_file():
            (target / entry.name).write_bytes(entry.read_bytes())


def _write_schema(conf: Path) -> None:
    """What editors check the experiment by, the project's own encoder included."""
    loaded = load_with_plugins(["experiment=mine"], conf)
    path = conf / "schema" / f"{EXPERIMENT}.json"
    path.parent.mkdir()
    schema = json_schema(EXPERIMENT, loaded.read.files)
    path.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
