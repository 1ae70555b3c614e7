"""`composer schema`: the JSON Schema of a YAML file, for editors."""

import argparse

from composer.cli.console import print_json
from composer.cli.ls import names_and_words
from composer.errors import UsageError
from composer.experiment import load_with_plugins
from composer.schema import EXPERIMENT, json_schema


def run(args: argparse.Namespace) -> int:
    """Prints one schema, that of an experiment by default."""
    names, words = names_and_words(args.words)
    if len(names) > 1:
        raise UsageError(f"one schema at a time; these are {len(names)}: {', '.join(names)}")
    loaded = load_with_plugins(words, args.config_dir)
    schema = json_schema(names[0] if names else EXPERIMENT, loaded.read.files)
    print_json(schema)
    return 0
