"""What the pages for people of other libraries say: lines can be typed, and each word counts."""

import functools
import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

from composer import Experiment
from composer.cli.main import main
from composer.loading import Loader

ROOT = Path(__file__).parent.parent
RLLIB = (ROOT / "docs" / "coming-from-rllib.md").read_text()
GROUPS = ("env", "algorithm", "model", "catalog", "plugins", "experiment")


def codes_of(page):
    """What stands between backticks in a page's tables."""
    rows = re.findall(r"^\|.*", page, re.MULTILINE)
    return sorted({code for row in rows for code in re.findall(r"`([^`]+)`", row)})


def lines_of(page):
    """Those that go behind `composer train`."""
    return [code for code in codes_of(page) if re.match(rf'"?({"|".join(GROUPS)})[\w./]*=', code)]


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


@pytest.mark.parametrize("line", lines_of(RLLIB))
def test_a_line_can_be_typed_and_each_word_of_it_changes_something(line, monkeypatch):
    monkeypatch.chdir(ROOT / "examples")
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


NAMES = [code for code in codes_of(RLLIB) if re.fullmatch(r"composer(\.\w+)+", code)]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_there(name):
    assert found(name) is not None


@pytest.mark.parametrize("page", [RLLIB])
def test_a_file_that_is_named_is_there(page):
    files = re.findall(r"(?:`|\()((?:\w+/)*\w+\.(?:py|yaml|md))(?:`|\)|:)", page)
    assert files
    assert [file for file in files if not {*ROOT.glob(file), *(ROOT / "docs").glob(file)}] == []


def test_required_apis_are_printed(capsys):
    assert "`composer ls apis`" in RLLIB
    assert main(["ls", "apis"]) == 0
    assert "ValueFunctionAPI" in capsys.readouterr().out
