import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import yaml

from composer import Experiment, compose
from composer.testing import DictBandit

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "spaces.md").read_text()


def test_the_page_of_spaces_is_what_the_catalog_and_the_parts_say():
    spec = importlib.util.spec_from_file_location("spaces_page", DOCS / "spaces.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.text() == PAGE, "docs/spaces.md is stale: make docs"


@pytest.mark.parametrize("line", re.findall(r"^    composer explain (.*)", PAGE, re.MULTILINE))
def test_a_line_of_the_page_can_be_typed(line):
    assert Experiment.load(shlex.split(line)).blueprint.parameter_count > 0


def test_the_yaml_of_the_page_is_a_model():
    (snippet,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    env = DictBandit()
    model = yaml.safe_load(snippet)["model"]
    blueprint = compose(env.observation_space, env.action_space, model, "ppo")
    assert blueprint.by_name["main.encoder"].out_dim == 64
    assert blueprint.by_name["main.encoder.digit"].config.type == "embedding"
