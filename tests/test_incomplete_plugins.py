"""Plugins that join a family and lack what it asks for, or clash with a part of it."""

import shlex
import sys

import pytest

from composer.algorithms.base import AlgorithmConfig
from composer.cli.main import main
from composer.errors import CompositionError, ConfigError
from composer.experiment import Experiment
from composer.heads.base import HeadConfig

LACKING = """
from typing import ClassVar, Literal
from composer.algorithms.base import AlgorithmConfig
from composer.heads.base import HeadConfig, OutputHeadConfig


class Al(AlgorithmConfig):
    type: Literal["al"] = "al"


class Bare(HeadConfig):
    type: Literal["bare"] = "bare"


class Half(OutputHeadConfig):
    type: Literal["half"] = "half"
    column = "half"
    explores = False
    side = "critic"
"""
SCALED = """
from typing import Literal
from composer.heads.value import ValueHeadConfig


class Scaled(ValueHeadConfig):
    type: Literal["scaled_value"] = "scaled_value"
    scale: float = 1.0
"""


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Modules `lacking` and `scaled` in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    for root in (AlgorithmConfig, HeadConfig):
        monkeypatch.setattr(root, "members", dict(root.members))
    (tmp_path / "lacking.py").write_text(LACKING)
    (tmp_path / "scaled.py").write_text(SCALED)


@pytest.mark.parametrize(
    ("word", "path", "message", "place"),
    [
        (
            "algorithm=al",
            "algorithm.type",
            "the algorithm lacking.Al lacks the methods `build(self, module, generator)`, "
            "`heads(self)`, `layout(self, observation)`, `required_apis(self)` and the class "
            "variable `driver`",
            "lacking.py:7    class Al",
        ),
        (
            "model.heads.bare={}",
            "model.heads.bare.type",
            "the head lacking.Bare lacks the class variables `offers`, `side`",
            "lacking.py:11    class Bare",
        ),
        (
            "model.heads.value.type=half",
            "model.heads.value.type",
            "the head lacking.Half lacks the methods `build(self, in_dim, out_dim)`, "
            "`out_dim(self, action_space, distribution)` and the class variable `offers`",
            "lacking.py:15    class Half",
        ),
    ],
)
def test_a_member_that_is_not_complete_is_refused_with_all_that_it_lacks(
    plugins, tmp_path, word, path, message, place
):
    with pytest.raises(ConfigError) as raised:
        Experiment.load(["plugins=[lacking]", word])
    (problem,) = raised.value.problems
    assert (problem.path, problem.message) == (path, message)
    assert problem.fix == f"{tmp_path}/{place}"
    assert problem.origin == f"{word} (command line)"


def test_a_member_that_is_not_complete_cannot_be_made_in_code(plugins):
    Experiment.load(["plugins=[lacking]"])
    with pytest.raises(ConfigError, match=r"the head lacking\.Bare lacks the class variables"):
        HeadConfig.members["bare"]()


@pytest.mark.parametrize(("kind", "tag"), [("algorithms", "al"), ("heads", "half")])
def test_the_list_says_what_a_member_lacks(plugins, capsys, kind, tag):
    assert main(["ls", kind, "plugins=[lacking]"]) == 0
    row = next(row for row in capsys.readouterr().out.splitlines() if row.startswith(f"{tag} "))
    assert "not valid: it lacks the methods `build(self, " in row


def test_a_member_that_is_not_complete_is_no_advice(plugins):
    with pytest.raises(ConfigError) as raised:
        Experiment.load(["plugins=[lacking]", "model.heads.value.type=baree"])
    assert "bare" not in raised.value.problems[0].valid


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("model.heads.scaled_value={}", "model.heads.value.type=scaled_value"),
        (
            "model.heads.scaled_value.scale=2.0",
            "model.heads.value='{type:scaled_value,scale:2.0}'",
        ),
        ("model.heads.scaled_value.type=value", "model.heads.value.type=value"),
        ("model.heads.value.type=policy", "model.heads.value.type=value"),
    ],
)
def test_the_line_for_two_heads_of_one_output_composes(plugins, word, fix):
    with pytest.raises(CompositionError, match="both give") as raised:
        Experiment.load(["plugins=[scaled]", word]).blueprint  # noqa: B018
    assert raised.value.problems[0].fix == fix
    Experiment.load(["plugins=[scaled]", *shlex.split(fix)]).blueprint  # noqa: B018


def test_where_no_type_is_near_the_default_is_offered():
    with pytest.raises(ConfigError) as raised:
        Experiment.load(["algorithm.optimiser=lion"])
    assert raised.value.problems[0].fix == "algorithm.optimiser.type=adam"


UNTYPED = """
from composer.heads.value import OutputHeadConfig


class Base(OutputHeadConfig):
    pass


class Forgotten(Base):
    pass
"""


def test_a_class_without_a_type_is_told_where_a_type_is_looked_for_in_vain(plugins, tmp_path):
    (tmp_path / "untyped.py").write_text(UNTYPED)
    with pytest.raises(ConfigError) as raised:
        Experiment.load(["plugins=[untyped]", "model.heads.value.type=forgotten"])
    (problem,) = raised.value.problems
    assert problem.path == "model.heads.value.type"
    told = problem.message.splitlines()[1:]
    assert told == [
        "untyped.Forgotten has no `type` by which it could be chosen; if it is meant, it takes "
        '`type: Literal["forgotten"] = "forgotten"`'
    ]
    assert problem.fix == f"{tmp_path}/untyped.py:9    class Forgotten"


def test_such_a_class_is_told_where_its_group_is_chosen_from(plugins, tmp_path):
    text = UNTYPED.replace("heads.value import OutputHead", "algorithms.base import OnPolicy")
    (tmp_path / "untyped_too.py").write_text(text.replace("OutputHead", "OnPolicy"))
    with pytest.raises(ConfigError) as raised:
        Experiment.load(["plugins=[untyped_too]", "algorithm=forgotten"])
    assert "untyped_too.Forgotten has no `type`" in raised.value.problems[0].message
