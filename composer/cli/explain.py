"""`composer explain`: what would be built, and why."""

import argparse

from composer.experiment import Experiment


def run(args: argparse.Namespace) -> int:
    """Prints the blueprint as text."""
    experiment = Experiment.load(args.words, args.config_dir)
    print(experiment.blueprint.explain())
    return 0
