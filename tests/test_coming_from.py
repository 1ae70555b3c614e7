"""What the pages for people of other libraries say: lines can be typed, and each word counts."""

import functools
import importlib
import inspect
import re
import shlex
import sys
from pathlib import Path

import gymnasium as gym
import pytest
import yaml
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.sac.policies import SACPolicy

from composer import Experiment
from composer.cli.main import main
from composer.loading import Loader

ROOT = Path(__file__).parent.parent
RLLIB, SB3 = ((ROOT / "docs" / f"coming-from-{name}.md").read_text() for name in ("rllib", "sb3"))
EXAMPLES = {path.stem for path in (ROOT / "examples").glob("*.py")}


def columns(page):
    """The columns of a page's tables, row by row: what is theirs, ours, remarks."""
    return [row.split(" | ") for row in re.findall(r"^\| (.*) \|$", page, re.MULTILINE)]


def codes(cells):
    """What stands between backticks in them."""
    return sorted({code for cell in cells for code in re.findall(r"`([^`]+)`", cell)})


def ours(page):
    return codes(cell for _, *cells in columns(page) for cell in cells)


def lines_of(page):
    """Those that go behind `composer train`."""
    return [code for code in ours(page) if re.match(r'"?[\w./]+=', code)]


def forget():
    """What was imported of the examples."""
    for name in EXAMPLES:
        sys.modules.pop(name, None)
    for key, spec in list(gym.registry.items()):
        if getattr(spec.entry_point, "__module__", None) in EXAMPLES:
            del gym.registry[key]


@pytest.fixture
def _beside_the_examples(monkeypatch):
    """In their directory, with nothing of them imported, before and after."""
    monkeypatch.chdir(ROOT / "examples")
    forget()
    yield
    forget()


@functools.cache
def loader():
    return Loader("conf")


def loaded(words):
    """An experiment of words typed beside the examples."""
    return Experiment.from_loaded(loader().load(words), "conf")


def chooses(word):
    """Whether a word says what others are about: an environment, an algorithm, a part."""
    key = word.partition("=")[0]
    return "." not in key or key in ("env.id", "model.path")


def what_it_is_about(experiment, word):
    section = word.partition(".")[0]
    if section in ("model", "catalog"):
        return experiment.model.fingerprint
    return getattr(experiment.config, section).to_data()


@pytest.mark.parametrize("line", sorted({*lines_of(RLLIB), *lines_of(SB3)}))
@pytest.mark.usefixtures("_beside_the_examples")
def test_a_line_can_be_typed_and_each_word_of_it_changes_something(line):
    words = shlex.split(line)
    experiment = loaded(words)
    experiment.require_model()
    for word in words:
        if not chooses(word):
            without = loaded([other for other in words if other != word])
            assert what_it_is_about(without, word) != what_it_is_about(experiment, word), word


def test_each_field_of_rllibs_model_config_is_there():
    initialised = ("fcnet", "conv", "head_fcnet", "lstm", "fusionnet")
    fields = {
        f"{part}_{what}_initializer{end}"
        for part in initialised
        for what in ("kernel", "bias")
        for end in ("", "_kwargs")
    }
    stacks = ("fcnet", "head_fcnet", "fusionnet")
    fields |= {f"{part}_{what}" for part in stacks for what in ("hiddens", "activation")}
    fields |= {"fcnet_use_layernorm", "head_fcnet_use_layernorm", "conv_filters", "conv_activation"}
    fields |= {"free_log_std", "log_std_clip_param", "vf_share_layers", "use_lstm", "max_seq_len"}
    fields |= {"lstm_cell_size", "lstm_use_prev_action", "lstm_use_prev_reward"}
    assert len(fields) == 38
    _, _, rest = RLLIB.partition("\n## `DefaultModelConfig`\n")
    section, _, _ = rest.partition("\n## ")
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == fields


def test_rllibs_ppo_has_its_networks_and_its_numbers(tmp_path):
    (snippet,) = re.findall(r"```yaml\n(.*?)```", RLLIB, re.DOTALL)
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(snippet)
    experiment = Experiment.load(["experiment=mine"], config_dir=tmp_path / "conf")
    assert experiment.blueprint.parameter_count == 134_915
    for key, value in yaml.safe_load(snippet)["algorithm"].items():
        assert getattr(experiment.config.algorithm, key) == (value and float(value)), key


def found(name):
    """What a dotted name leads to: a module, or what is in one."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        owner, _, attribute = name.rpartition(".")
        return getattr(found(owner), attribute)


NAMES = [code for code in {*ours(RLLIB), *ours(SB3)} if re.fullmatch(r"composer(\.\w+)+", code)]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_name_is_there(name):
    assert found(name) is not None


@pytest.mark.parametrize("page", [RLLIB, SB3])
def test_a_file_that_is_named_is_there(page):
    files = re.findall(r"(?:`|\()((?:\w+/)*\w+\.(?:py|yaml|md))(?:`|\)|:)", page)
    assert files
    assert [file for file in files if not {*ROOT.glob(file), *(ROOT / "docs").glob(file)}] == []


@pytest.mark.parametrize("theirs", [PPO, DQN, SAC, TD3, ActorCriticPolicy, SACPolicy])
def test_each_argument_of_sb3_is_there(theirs):
    said = " ".join(codes(row[0] for row in columns(SB3)))
    given = {"self", "observation_space", "action_space", "lr_schedule", "_init_setup_model"}
    wanted = inspect.signature(theirs.__init__).parameters.keys() - given
    assert [name for name in wanted if not re.search(rf"\b{name}\b", said)] == []


def test_required_apis_are_printed(capsys):
    assert "`composer ls apis`" in RLLIB
    assert main(["ls", "apis"]) == 0
    assert "ValueFunctionAPI" in capsys.readouterr().out
