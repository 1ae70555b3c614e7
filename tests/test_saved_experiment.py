"""`composer explain --yaml`: a whole experiment as a file that gives it again."""

import string

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from composer.cli.main import main
from composer.experiment import Experiment
from composer.loading import as_experiment, load

ODD = ["on", "null", "~", "1e-3", "010", "1:30", "-", ".5", "+1", "2024-01-01", "", " a", "a: b"]
ODD += ["${env.id}", r"\${x}", r"\\${x}", r"a\b", "${", "#x", "*a", "=", "line\nbreak", "\x07", "λ"]
TEXT = st.sampled_from(ODD) | st.text(string.printable, max_size=8)
KEYS = st.sampled_from(["on", "1", "1e-3", "${x}", "a.b"]) | st.text(string.ascii_letters)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
PLUGIN = """
from typing import Literal
from composer.encoders.mlp import MLPEncoderConfig

class {name}Config(MLPEncoderConfig):
    type: Literal["{tag}"] = "{tag}"
    extra: int = 1
"""

FAST = """\
# @package _global_
defaults: [override /logger: none]
algorithm: {lr: 1.0e-2}
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working directory with `conf/` of a user's own; call it to write a file there."""
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        path = tmp_path / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    write("experiment/fast", FAST)
    write("algorithm/mine", "type: ppo\ngamma: 0.5\n")
    write("tuned/gym_ppo", "# @package _global_\nenv: {kwargs: {left: over}}\n")
    write("catalog/mine", "defaults: [default, _self_]\nobservation: {vector: {priority: 3}}\n")
    return write


def again(text, home):
    """The experiment of a file with this text."""
    home("experiment/saved", text)
    return Experiment.load(["experiment=saved"], "conf")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["env=pendulum", "model=separate", "total_steps=7", "threads=3"],
        ["env=cliff_walking", "env.kwargs={}", "logger=none", "seed=4"],
        ["env=frozen_lake", "model/encoder=one_hot", "model.encoder.hidden=[]"],
        ["model.encoder.hidden=[9]", "model.trunks={critic: {encoder: {type: mlp}}}"],
        ["model=shared", "model.heads.value={hidden: [3], stop_gradient: [main]}"],
        ["model/distribution=categorical", "model.encoder.kernel_initializer=xavier_uniform"],
        ["env=pendulum", "model/distribution=diag_gaussian", "model.distribution.log_std_init=-1"],
        ["catalog.observation.flattened=null", "catalog.observation.vector.use.hidden=[5]"],
        ["catalog=mine", "algorithm=mine", "experiment=fast", "logging.every=1e3"],
        ["~logger.tensorboard", "env.wrappers=[]", "evaluation.seed=3", "device=cpu"],
    ],
    ids=lambda words: " ".join(words) or "defaults",
)
def test_the_file_gives_the_same_experiment(words, home, capsys):
    given = Experiment.load(words, "conf")
    assert main(["explain", "--yaml", "--config-dir", "conf", *words]) == 0
    saved = again(capsys.readouterr().out, home)
    assert saved.config == given.config
    assert saved.to_data() == given.to_data()
    assert saved.blueprint.fingerprint == given.blueprint.fingerprint


def test_a_plugin_is_kept_and_its_part_with_it(home, tmp_path, plugins, capsys):
    (tmp_path / "kept_plugin.py").write_text(PLUGIN.format(name="Kept", tag="kept"))
    words = ["plugins=[kept_plugin]", "model/encoder=kept", "model.encoder.extra=2"]
    assert main(["explain", "--yaml", "--config-dir", "conf", *words]) == 0
    config = again(capsys.readouterr().out, home).config
    assert config.plugins == ("kept_plugin",)
    assert config.model.encoder.to_data()["extra"] == 2
    assert config.model.encoder.type == "kept"


def test_what_is_typed_wins_over_the_file(home, capsys):
    assert main(["explain", "--yaml", "algorithm.lr=0.5"]) == 0
    home("experiment/saved", capsys.readouterr().out)
    words = ["experiment=saved", "algorithm.lr=0.25", "model.encoder.hidden=[3]"]
    config = Experiment.load(words, "conf").config
    assert config.algorithm.to_data()["lr"] == 0.25
    assert config.model.to_data()["encoder"] == {"type": "auto", "hidden": [3]}


def test_the_file_begins_with_its_package_and_leaves_every_group_out(capsys):
    assert main(["explain", "--yaml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["# @package _global_", "defaults:", "  - override /env: null"]
    assert "  - override /tuned: null" in lines
    assert "  lr: 0.0025" in lines
    assert "  memory: {type: none}" in lines
    assert not any("experiment" in line for line in lines)


@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(values=st.lists(VALUES, min_size=8, max_size=30), key=KEYS)
def test_any_text_and_number_is_kept(home, values, key):
    data = Experiment.load([]).to_data()
    data["env"]["kwargs"] = {"odd": ODD, key: values}
    home("experiment/saved", as_experiment(data))
    assert load(["experiment=saved"], "conf").data == data
