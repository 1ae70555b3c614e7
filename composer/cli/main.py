"""`composer`: finds the verb. Nothing heavy is imported before one is chosen."""

import argparse
import importlib
import json
import os
import select
import sys
from collections.abc import Callable, Sequence

from composer.cli.arguments import Parser, unknown_verb
from composer.errors import ComposerError

HEADER = """usage: composer VERB …

Composes reinforcement-learning models from configuration, and trains them.
"""
FOOTER = """
`composer VERB --help` says more.  Try:

  composer train env=cartpole algorithm=ppo"""
WORDS = "what to change: `env=pendulum`, `algorithm.lr=1e-3`, `model/encoder=mlp`"
SHELLS = ("bash", "zsh", "fish")


def _train(parser: argparse.ArgumentParser) -> None:
    _words(parser)
    parser.add_argument(
        "--run-dir",
        metavar="DIR",
        help="a directory to create for this run; by default below runs/",
    )
    _start(parser)
    _multirun(parser)
    parser.add_argument(
        "--no-check-sweep",
        action="store_true",
        help="start the jobs of -m without checking all of them first",
    )
    _examples(
        parser,
        "composer train env=pendulum total_steps=2e5 algorithm.lr=1e-3",
        "composer train -m env=cartpole algorithm.gamma=0.95,0.99 seed=0,1,2",
        "composer train --init-from runs/cartpole_ppo_…:main --freeze main",
    )


def _check(parser: argparse.ArgumentParser) -> None:
    _words(parser)
    _multirun(parser, "taken as `train` takes it; `a=1,2` is a sweep without it too")
    _start(parser)
    _json(parser)
    _examples(
        parser,
        "composer check experiment=cartpole_ppo",
        "composer check env=cartpole,pendulum algorithm.lr=1e-3,3e-3 seed=0,1,2",
    )


def _diff(parser: argparse.ArgumentParser) -> None:
    what = "a run, a checkpoint, a blueprint.json, an experiment's name, or words in quotes"
    parser.add_argument("a", metavar="A", help=what)
    parser.add_argument("b", metavar="B", help="the other")
    _config_dir(parser)
    _json(parser)
    _examples(
        parser,
        'composer diff cartpole_ppo "env=cartpole model=shared"',
        "composer diff runs/cartpole_ppo_… runs/cartpole_ppo_…",
    )


def _multirun(
    parser: argparse.ArgumentParser, meaning: str = "a job for each combination of `a=1,2` words"
) -> None:
    parser.add_argument("-m", "--multirun", action="store_true", help=meaning)


def _start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--init-from",
        metavar="DIR[:PART,…]",
        help="begin with the weights of a run, a checkpoint or a saved module, or those of parts",
    )
    parser.add_argument(
        "--freeze", metavar="PART,…", default="", help="parts that are not trained: `main`"
    )


def _explain(parser: argparse.ArgumentParser) -> None:
    _words(parser)
    parser.add_argument("--all", action="store_true", help="every setting of every part")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--out", metavar="FILE", help="draw it: model.html, model.svg, model.png or model.mmd"
    )
    _json(instead)
    instead.add_argument(
        "--yaml",
        action="store_true",
        help="the whole experiment, to save as conf/experiment/NAME.yaml",
    )
    _examples(
        parser,
        "composer explain env=cartpole algorithm=ppo",
        "composer explain env=cartpole --out model.html",
        "composer explain env.id=MountainCar-v0 model.encoder.hidden='[128,128]'",
    )


def _eval(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="RUN", help="a run, or one of its checkpoints")
    parser.add_argument(
        "--checkpoint", choices=("best", "latest"), default="best", help="which one of a run"
    )
    _words(parser, "what to change: `evaluation.episodes=100`, `env.num_envs=16`")
    _examples(
        parser,
        "composer eval runs/cartpole_ppo_…",
        "composer eval runs/cartpole_ppo_… --checkpoint latest evaluation.episodes=20",
    )


def _resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="RUN", help="a run, or one of its checkpoints")
    _words(parser, "what to change: `total_steps=2e6`, `algorithm.lr=1e-4`, `checkpoint.keep=5`")
    _examples(
        parser,
        "composer resume runs/cartpole_ppo_…",
        "composer resume runs/cartpole_ppo_… total_steps=2e5 algorithm.lr=1e-4",
    )


def _ls(parser: argparse.ArgumentParser) -> None:
    _words(parser, "what to list, and words as `train` takes them", "KIND | KEY=VALUE")
    parser.add_argument(
        "--spaces", action="store_true", help="make each environment, to say its spaces"
    )
    _json(parser)
    _examples(parser, "composer ls", "composer ls encoders rules", "composer ls env --spaces")


def _schema(parser: argparse.ArgumentParser) -> None:
    _words(parser, "what the file is; words as `train` takes them", "NAME | KEY=VALUE")
    _examples(
        parser,
        "composer schema > schema.json",
        "composer schema model/encoder 'plugins=[my_encoders]'",
    )


def _init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", help="a directory that is new or empty")
    _examples(parser, "composer init mine", "composer init projects/pendulum")


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or fish")
    _examples(
        parser,
        'eval "$(composer completion bash)"       in ~/.bashrc; for zsh in ~/.zshrc',
        "composer completion fish | source        in ~/.config/fish/config.fish",
    )


def _words(
    parser: argparse.ArgumentParser, change: str = WORDS, metavar: str = "KEY=VALUE"
) -> None:
    parser.add_argument("words", nargs="*", default=[], metavar=metavar, help=change)
    _config_dir(parser)


def _config_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config-dir", metavar="DIR", help="a directory of your own with YAML files"
    )


def _json(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for a program")


def _examples(parser: argparse.ArgumentParser, *lines: str) -> None:
    parser.epilog = "\n".join(["examples:", *(f"  {line}" for line in lines)])


VERBS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "train": ("train a policy", _train),
    "resume": ("go on with a run from its latest checkpoint, or from an older one", _resume),
    "eval": ("evaluate a run's policy", _eval),
    "check": ("find everything that would fail before training", _check),
    "diff": ("show what differs between two experiments, runs or blueprints", _diff),
    "explain": ("show what would be built, and why", _explain),
    "ls": ("list what there is: encoders, environments, rules, …", _ls),
    "schema": ("print the schema of a configuration file, for editors", _schema),
    "init": ("write a small project of your own", _init),
    "completion": ("print the script that completes on TAB", _completion),
}
GROUPS = {
    "Train": ("train", "resume", "eval"),
    "Look before": ("explain", "check", "diff"),
    "Find out": ("ls", "schema"),
    "Set up": ("init", "completion"),
}
"""The verbs as `composer --help` lists them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a verb; returns the exit status, 2 for an error the user can mend."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _status(words)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        return 141


def _status(words: list[str]) -> int:
    try:
        return _run(words)
    except ComposerError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        _show(error, as_json="--json" in words)
        return 2


def _run(words: list[str]) -> int:
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    if not words or words[0] in ("-h", "--help"):
        print(_help())
        return 0
    verb, *rest = words
    if verb == "--version":
        metadata = importlib.import_module("importlib.metadata")
        print(f"composer {metadata.version('rl-composer')}")
        return 0
    if verb == "complete":  # what a shell calls, see cli/completion.py
        return importlib.import_module("composer.cli.complete").run()
    if verb not in VERBS:
        raise unknown_verb(words, VERBS)
    args = parser_of(verb).read(rest)
    return importlib.import_module(f"composer.cli.{verb}").run(args)


def parser_of(verb: str) -> Parser:
    """What reads the words after a verb."""
    summary, describe = VERBS[verb]
    parser = Parser(f"composer {verb}", summary)
    describe(parser)
    return parser


def _help() -> str:
    lines = [HEADER]
    for title, verbs in GROUPS.items():
        known = [f"  {verb:<12}{VERBS[verb][0]}" for verb in verbs if verb in VERBS]
        lines += [f"{title}:", *known] if known else []
    return "\n".join([*lines, FOOTER])


def _show(error: ComposerError, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(error.to_data(), indent=2))
    elif sys.stderr.isatty() or "FORCE_COLOR" in os.environ:
        importlib.import_module("composer.cli.errors").show(error)
    else:
        print(error, file=sys.stderr)


def _nobody_reads() -> bool:
    """Whether stdout is a pipe without a reader; what is left to write is dropped then."""
    poll = select.poll()
    poll.register(sys.stdout, select.POLLOUT)
    is_gone = any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    if is_gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return is_gone


if __name__ == "__main__":
    sys.exit(main())
