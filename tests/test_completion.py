"""What a shell is offered on TAB."""

import argparse
import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from composer.cli import complete, overrides
from composer.cli.keys import Keys
from composer.cli.main import VERBS, main

PARTS = ("distribution", "encoder", "memory")
MEMBERS = {
    "mlp": {"hidden": {"type": "array"}, "layer_norm": {"type": "boolean"}},
    "cnn": {"filters": {"type": "array"}, "hidden": {"type": "array"}},
}


def _or_text(schema: dict) -> dict:
    """The schema, or an interpolation."""
    return {"anyOf": [schema, {"type": "string", "description": "an interpolation"}]}


SCHEMA = {
    "type": "object",
    "properties": {
        "seed": {"type": "integer", "description": "Where chance begins.\nMore."},
        "defaults": {"type": "array"},
        "threads": {"anyOf": [{"type": "integer"}, {"properties": {"type": {"const": "auto"}}}]},
        "env": _or_text({"$ref": "#/$defs/gym"}),
        "algorithm": {"oneOf": [{"$ref": "#/$defs/ppo"}, {"$ref": "#/$defs/dqn"}]},
        "model": {
            "properties": {
                "encoder": {
                    "anyOf": [
                        {"const": "auto"},
                        {"properties": {"type": {"const": "auto"}}},
                        *({"$ref": f"#/$defs/{name}"} for name in MEMBERS),
                    ]
                },
                "heads": {"additionalProperties": {"properties": {"reads": {"type": "string"}}}},
            }
        },
    },
    "$defs": {
        "gym": {"properties": {"type": {"const": "gym"}, "id": {}, "kwargs": {"type": "object"}}},
        "ppo": {
            "properties": {
                "type": {"const": "ppo"},
                "lr": {"type": "number"},
                "lr_schedule": {"enum": ["constant", "linear"]},
                "target_kl": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            }
        },
        "dqn": {"properties": {"type": {"const": "dqn"}, "double": {"type": "boolean"}}},
        **{
            name: {"allOf": [{"properties": {"type": _or_text({"const": name}), **fields}}]}
            for name, fields in MEMBERS.items()
        },
    },
}


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty directory, and the schema above for the shipped one."""
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    monkeypatch.setattr(overrides, "SCHEMA", schema)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def offered(line: str) -> list[str]:
    return sorted(word for word, _ in complete.offers(line))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("composer tr", ["train"]),
        ("composer he", ["help"]),
        ("composer --v", ["--version"]),
        ("composer help res", ["resume"]),
        ("composer help train ", []),
        ("composer nonsense ", []),
        ("composer train --con", ["--config-dir"]),
        ("composer train --config-dir x --con", []),
        ("composer eval x --checkpoint ", ["best", "latest"]),
        ("composer eval x --checkpoint=l", ["--checkpoint=latest"]),
        ("composer completion ", ["bash", "fish", "zsh"]),
        ("composer completion zsh ", []),
        ("composer train env=frozen_lake_", ["env=frozen_lake_8x8"]),
        ("composer train 'env=frozen_lake_", ["env=frozen_lake_8x8"]),
        ('composer train seed=1 "env=frozen_lake_', ["env=frozen_lake_8x8"]),
        ("composer train model/enc", ["model/encoder="]),
        ("composer train model/encoder=m", ["model/encoder=mlp"]),
        ("composer train -m env=pendulum,acro", ["env=pendulum,acrobot"]),
        ("composer train 'logger=[none,tens", ["logger=[none,tensorboard"]),
        ("composer train exp", ["experiment="]),
        ("composer train tun", []),
        ("composer train se", ["seed="]),
        ("composer train model/e", ["model/encoder="]),
        ("composer train mode", ["model.", "model=", *(f"model/{name}=" for name in PARTS)]),
        ("composer train algorithm.l", ["algorithm.lr=", "algorithm.lr_schedule="]),
        ("composer train algorithm=dqn algorithm.", ["algorithm.double=", "algorithm.type="]),
        ("composer train algorithm.type=dqn algorithm.d", ["algorithm.double="]),
        ("composer train algorithm.lr_schedule=l", ["algorithm.lr_schedule=linear"]),
        ("composer train algorithm.target_kl=", ["algorithm.target_kl=null"]),
        ("composer train algorithm.type=", ["algorithm.type=dqn", "algorithm.type=ppo"]),
        ("composer train env", ["env.", "env="]),
        ("composer train env.k", ["env.kwargs="]),
        ("composer train def", []),
        ("composer train thr", ["threads="]),
        ("composer train model.enc", ["model.encoder.", "model.encoder="]),
        ("composer train model.encoder=cnn", [f"model.encoder={t}" for t in ("cnn", "cnn3d")]),
        ("composer train model.encoder.h", ["model.encoder.hidden="]),
        ("composer train model.encoder.f", ["model.encoder.filters="]),
        ("composer train model/encoder=mlp model.encoder.f", []),
        ("composer train model.encoder=mlp model.encoder.f", []),
        ("composer train -m model/encoder=mlp,cnn model.encoder.f", ["model.encoder.filters="]),
        ("composer train model.encoder.layer_norm=t", ["model.encoder.layer_norm=true"]),
        ("composer train model.heads.value.", ["model.heads.value.reads="]),
        ("composer train nothing.at.", []),
    ],
)  # fmt: skip
def test_words_that_fit_are_offered_whole(line: str, words: Sequence[str]) -> None:
    assert offered(line) == sorted(words)


def test_every_verb_is_offered_with_what_it_does() -> None:
    assert dict(complete.offers("composer ")).items() >= {
        (verb, summary) for verb, (summary, _) in VERBS.items()
    }


def test_a_key_is_offered_with_the_first_line_of_its_meaning() -> None:
    assert complete.offers("composer train seed") == [("seed=", "Where chance begins.")]
    assert ("env=", "cartpole by default") in complete.offers("composer train env")


def test_only_what_stands_before_the_cursor_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMP_LINE", "composer tr env=cartpole")
    monkeypatch.setenv("COMP_POINT", str(len("composer tr")))
    assert main(["complete"]) == 0
    assert capsys.readouterr().out == "train\ttrain a policy\n"


def test_options_of_the_users_directory_are_offered(here: Path) -> None:
    group = here / "my conf" / "model" / "encoder"
    group.mkdir(parents=True)
    (group / "wide.yaml").write_text("type: mlp\n")
    for flag in ("--config-dir 'my conf'", "--config-dir=my\\ conf"):
        start = f"composer train {flag} model/encoder=w"
        assert offered(start) == ["model/encoder=wide"]
        assert offered(f"{start}ide model.encoder.f") == []
        assert offered(f"{start}ide model.encoder.l") == ["model.encoder.layer_norm="]


def test_an_experiments_choices_narrow_the_keys(here: Path) -> None:
    folder = here / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("defaults:\n  - override /model/encoder: mlp\n")
    start = "composer train --config-dir conf experiment=mine"
    assert offered(f"{start} model.encoder.f") == []
    assert offered(f"{start} model/encoder=cnn model.encoder.f") == ["model.encoder.filters="]


@pytest.mark.parametrize("text", ["type: [", "\xff", "- type"])
def test_a_file_that_cannot_be_read_stops_nothing(text: str, here: Path) -> None:
    for group in ("experiment", "algorithm"):
        (here / "conf" / group).mkdir(parents=True)
        (here / "conf" / group / "bad.yaml").write_bytes(text.encode("latin-1"))
    start = "composer train --config-dir conf experiment=bad algorithm=bad"
    assert offered(f"{start} se") == ["seed="]
    assert "algorithm.lr=" in offered(f"{start} algorithm.")
    assert offered("composer train --config-dir nowhere se") == ["seed="]


def test_directories_are_offered_for_a_directory(here: Path) -> None:
    (here / "a dir" / "inner").mkdir(parents=True)
    (here / "file").touch()
    assert offered("composer train --config-dir ") == ["a dir/"]
    assert offered("composer train --config-dir=a") == ["--config-dir=a dir/"]
    assert offered("composer train --run-dir a\\ dir/") == ["a dir/inner/"]
    assert offered("composer train --run-dir nowhere/x") == []


def test_runs_are_offered_whole_and_narrow_the_keys(here: Path) -> None:
    for name, kind in (("a", "ppo"), ("b", "dqn")):
        (here / "runs" / name / "checkpoints").mkdir(parents=True)
        data = json.dumps({"algorithm": {"type": kind}, "model": {"encoder": "mlp"}})
        (here / "runs" / name / "experiment.json").write_text(data)
    assert offered("composer eval ") == ["runs/a", "runs/b"]
    assert offered("composer resume --config-dir runs ru") == ["runs/a", "runs/b"]
    assert offered("composer eval runs/a/c") == ["runs/a/checkpoints/"]
    assert offered("composer diff runs/a ru") == ["runs/a", "runs/b"]
    (here / "cart.json").touch()
    (here / "cart.png").touch()
    assert offered("composer diff cartpole_pp") == ["cartpole_ppo"]
    assert offered("composer diff cart")[:2] == ["cart.json", "cartpole_dqn"]
    assert offered("composer resume runs/b algorithm.d") == ["algorithm.double="]
    assert offered("composer resume runs/a algorithm.d") == []
    assert offered("composer resume runs/a model.encoder.f") == []
    assert offered("composer resume runs/a env=") == []
    assert offered("composer resume nowhere algorithm.d") == ["algorithm.double="]


def test_without_a_schema_groups_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overrides, "SCHEMA", Path("nowhere"))
    assert offered("composer train alg") == ["algorithm="]
    assert offered("composer train algorithm.") == []


def test_a_directory_of_a_verb_that_writes_one_is_no_run(
    monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    def describe(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("directory", metavar="DIR")
        parser.add_argument("--out", metavar="FILE")
        parser.add_argument("--count", type=int)

    monkeypatch.setitem(VERBS, "write", ("write something", describe))
    (here / "runs" / "a").mkdir(parents=True)
    (here / "runs" / "a" / "experiment.json").touch()
    assert offered("composer write ") == ["runs/"]
    assert offered("composer write --out runs/a/") == ["runs/a/experiment.json"]
    assert offered("composer write --count ") == []


def test_keys_of_the_shipped_schema_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert "algorithm.lr=" in offered("composer train algorithm.l")
    assert "model.encoder.hidden=" in offered("composer train model.encoder.h")
    assert offered("composer train model/encoder=mlp model.encoder.filt") == []
    assert offered("composer train env.vectorization=sy") == ["env.vectorization=sync"]
    assert offered("composer train evaluation.ev") == ["evaluation.every="]


def test_names_are_offered_where_a_verb_takes_names() -> None:
    assert offered("composer schema model/e") == ["model/encoder", "model/encoder="]
    assert offered("composer schema exp") == ["experiment", "experiment="]
    listing = importlib.import_module("composer.listing")
    assert tuple(kind.name for kind in listing.KINDS) == complete.KINDS
    assert offered("composer ls enc") == ["encoders"]


def test_a_key_reads_on_through_references_with_escapes() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/x~1y"}}, "$defs": {"x/y": {"enum": [1, "b"]}}}
    assert list(Keys(schema, lambda _: None).values("a")) == ["1", "b"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed_for_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "COMP_LINE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "replies"),
    [
        ("composer tr", ["train"]),
        ("composer train env=frozen_lake_", ["frozen_lake_8x8"]),
        ("composer train 'env=frozen_lake_", ["env=frozen_lake_8x8"]),
        ("composer train env=taxi,frozen_lake_", ["taxi,frozen_lake_8x8"]),
        ("composer train --config-dir my", [r"my\ dir/"]),
        ("composer train --config-dir=my", [r"my\ dir/"]),
        ("composer nothing ", []),
    ],
)
def test_bash_replaces_what_stands_after_the_last_break(
    line: str, replies: Sequence[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "my dir").mkdir()
    program = here / "composer"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m composer.cli.main "$@"\n')
    program.chmod(0o755)
    main(["completion", "bash"])
    asked = (
        'COMP_LINE=$1 COMP_POINT=${#1}; _composer "$2"; '
        '[ ${#COMPREPLY[@]} = 0 ] || printf "%s\\n" "${COMPREPLY[@]}"'
    )
    bash = shutil.which("bash")
    assert bash
    done = subprocess.run(
        [bash, "-c", capsys.readouterr().out + asked, "bash", line, str(program)],
        capture_output=True,
        text=True,
    )
    assert (done.stdout.splitlines(), done.stderr) == (list(replies), "")
