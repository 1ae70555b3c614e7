import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import yaml
from experiments import experiment

from composer import Experiment, compose
from composer.memories.base import MemoryConfig
from composer.testing import DictBandit

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "spaces.md").read_text()


ALGORITHMS = (DOCS / "algorithms.md").read_text()
MEMORIES = (DOCS / "memories.md").read_text()


@pytest.mark.parametrize("page", ["spaces", "algorithms"])
def test_a_page_of_parts_is_what_the_parts_say(page, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))  # one page is made with what another is made with
    spec = importlib.util.spec_from_file_location(f"{page}_page", DOCS / f"{page}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.text() == (DOCS / f"{page}.md").read_text(), f"docs/{page}.md is stale: make docs"


@pytest.mark.parametrize(
    "line", re.findall(r"^    composer explain (.*)", PAGE + ALGORITHMS, re.MULTILINE)
)
def test_a_line_of_the_page_can_be_typed(line):
    assert Experiment.load(shlex.split(line)).blueprint.parameter_count > 0


@pytest.mark.parametrize(
    "line", re.findall(r"^    composer (?:explain|train) (.*)", MEMORIES, re.MULTILINE)
)
def test_a_line_about_memories_can_be_typed(line):
    blueprint = Experiment.load(shlex.split(line, comments=True)).blueprint
    assert "main.memory" in blueprint.by_name


def test_the_yaml_about_memories_is_a_model():
    snippet, replayed = re.findall(r"```yaml\n(.*?)```", MEMORIES, re.DOTALL)
    env = DictBandit()
    model = yaml.safe_load(snippet)["model"]
    blueprint = compose(env.observation_space, env.action_space, model, "ppo")
    assert experiment("Counter", **yaml.safe_load(replayed)).blueprint.max_seq_len == 16
    types = [blueprint.by_name[f"{trunk}.memory"].config.type for trunk in ("main", "critic")]
    assert types == ["lstm", "gru"]


def test_each_setting_of_a_memory_is_told():
    first_cells = re.findall(r"^\| (`.*?) \|", MEMORIES, re.MULTILINE)
    told = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert MemoryConfig.options() - {"type"} <= told


def test_the_yaml_of_the_page_is_a_model():
    (snippet,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    env = DictBandit()
    model = yaml.safe_load(snippet)["model"]
    blueprint = compose(env.observation_space, env.action_space, model, "ppo")
    assert blueprint.by_name["main.encoder"].out_dim == 64
    assert blueprint.by_name["main.encoder.digit"].config.type == "embedding"
