"""`composer`: finds the verb. Nothing heavy is imported before one is chosen."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence

from composer.errors import ComposerError, did_you_mean

HEADER = """usage: composer VERB …

Composes reinforcement-learning models from configuration, and trains them.
"""
FOOTER = """
`composer VERB --help` says more. Try:  composer train env=cartpole algorithm=ppo
"""
WORDS = "what to change: `env=pendulum`, `algorithm.lr=1e-3`, `model/encoder=mlp`"


def _train(parser: argparse.ArgumentParser) -> None:
    _words(parser)
    parser.add_argument(
        "--run-dir", help="a directory to create for this run; by default below runs/"
    )
    parser.add_argument(
        "-m", "--multirun", action="store_true", help="a job for each combination of `a=1,2` words"
    )


def _explain(parser: argparse.ArgumentParser) -> None:
    _words(parser)


def _eval(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", help="a run, or one of its checkpoints")
    parser.add_argument(
        "--checkpoint", choices=("best", "latest"), default="best", help="which one of a run"
    )
    _words(parser)


def _resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", help="a run")
    _words(parser)


def _ls(parser: argparse.ArgumentParser) -> None:
    _words(parser, "KIND | KEY=VALUE", "what to list: encoders, rules, …; and words as in `train`")
    parser.add_argument(
        "--spaces", action="store_true", help="make each environment, say its spaces"
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def _schema(parser: argparse.ArgumentParser) -> None:
    _words(parser, "NAME | KEY=VALUE", "experiment, or a group: model, catalog, env, …")


def _init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", help="a directory that is new or empty")


def _words(parser: argparse.ArgumentParser, metavar: str = "KEY=VALUE", about: str = WORDS) -> None:
    parser.add_argument("words", nargs="*", metavar=metavar, help=about)
    parser.add_argument(
        "--config-dir", metavar="DIR", help="a directory of your own with YAML files"
    )


VERBS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "train": ("train a policy", _train),
    "resume": ("go on with a run from its latest checkpoint", _resume),
    "eval": ("evaluate a run's policy", _eval),
    "explain": ("show what would be built, and why", _explain),
    "ls": ("list what there is: encoders, environments, rules, …", _ls),
    "schema": ("print the schema of a configuration file, for editors", _schema),
    "init": ("write a small project of your own", _init),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a verb; returns the exit status, 2 for an error the user can mend."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    verb, *rest = words
    try:
        if verb not in VERBS:
            raise ComposerError(f"there is no verb `{verb}`{did_you_mean(verb, VERBS)}\n{_help()}")
        summary, describe = VERBS[verb]
        parser = argparse.ArgumentParser(
            prog=f"composer {verb}", description=summary.capitalize() + ".", allow_abbrev=False
        )
        describe(parser)
        args = parser.parse_intermixed_args(rest)
        return importlib.import_module(f"composer.cli.{verb}").run(args)
    except ComposerError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _help() -> str:
    lines = [f"  {verb:<10} {summary}" for verb, (summary, _) in VERBS.items()]
    return "\n".join([HEADER, *lines, FOOTER])


if __name__ == "__main__":
    sys.exit(main())
