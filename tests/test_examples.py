"""Every example and every snippet of the README runs."""

import importlib.util
import math
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical

from composer import Columns, Experiment, compose
from composer.testing import check_distribution, check_encoder
from composer.testing.strategies import accepted_by

ROOT = Path(__file__).parent.parent
VECTOR, TWO = spaces.Box(-1.0, 1.0, (4,), np.float32), spaces.Discrete(2)


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a plugin named twice is imported once
    spec.loader.exec_module(module)
    return module


def test_quickstart_trains(capsys: pytest.CaptureFixture[str]) -> None:
    mean_return = example("quickstart").main(total_steps=2_000)
    assert mean_return >= 8  # no episode of CartPole can be shorter
    assert "main.encoder" in capsys.readouterr().out


def test_own_loop_learns() -> None:
    untrained, trained = example("own_loop").main(updates=10), example("own_loop").main(updates=120)
    assert trained > 2 * untrained


def test_hand_written_module_acts() -> None:
    assert example("vpg_module").main(episodes=3) >= 3 * 8


def test_hand_written_module_is_trained_from_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "examples")
    assert example("custom_module").main(total_steps=2_000) >= 8


def test_a_module_that_holds_an_lstm_learns_to_remember(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "examples")
    assert example("lstm_module").main(total_steps=7_000) >= 6  # 4 is all without a memory


def test_the_lstm_sees_steps_as_it_sees_their_sequence() -> None:
    config = {"lstm_cell_size": 8, "dense_layers": [4]}
    module = example("lstm_module").LSTMModule(VECTOR, TWO, model_config=config)
    obs, is_first = torch.rand(3, 5, 4), torch.zeros(3, 5, dtype=torch.bool)
    is_first[1, 2] = True
    state = module.get_initial_state(3)
    sequence = {Columns.OBS: obs, Columns.IS_FIRST: is_first, Columns.STATE_IN: state}
    whole = module.forward_train(sequence)
    for t in range(5):
        step = {Columns.OBS: obs[:, t], Columns.IS_FIRST: is_first[:, t], Columns.STATE_IN: state}
        out = module.forward_exploration(step)
        state = out[Columns.STATE_OUT]
        inputs = whole[Columns.ACTION_DIST_INPUTS][:, t]
        torch.testing.assert_close(out[Columns.ACTION_DIST_INPUTS], inputs)
    torch.testing.assert_close(state, whole[Columns.STATE_OUT])


def test_a_module_with_a_distribution_of_its_own_is_trained_by_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT / "examples")
    assert example("custom_distribution").main(total_steps=2_000) >= 8
    policy = example("custom_distribution").TemperedPolicy
    module = policy(VECTOR, TWO, model_config={"hidden": 8, "temperature": 2.0})
    out = module.forward_train({Columns.OBS: torch.rand(5, 4)})
    explored_by = module.action_distribution(out, "exploration")
    torch.testing.assert_close(
        explored_by.entropy(), Categorical(logits=out[Columns.ACTION_DIST_INPUTS] / 2).entropy()
    )


def test_small_convolutions_are_trained_on_pong_and_act_without_their_critic(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT / "examples")
    assert example("tiny_atari_cnn").main(updates=1)
    assert "acts alike with encoder, policy" in capsys.readouterr().out


def test_mobilenet_is_trained_by_ppo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT / "examples")
    assert math.isfinite(example("mobilenet_encoder").main())
    assert re.search(r"main\.encoder +mobilenet_v2 +Box\(32, 32, 3\)", capsys.readouterr().out)


def test_mobilenet_has_the_size_of_the_papers() -> None:
    encoder = example("mobilenet_encoder").MobileNetV2EncoderConfig()
    images = spaces.Box(0.0, 1.0, (3, 224, 224), np.float32)
    blueprint = compose(images, TWO, {"encoder": encoder})
    with_classifier_of_1000 = 3_504_872
    classifier = 1280 * 1000 + 1000
    heads = 1280 * 2 + 2
    assert blueprint.parameter_count == with_classifier_of_1000 - classifier + heads


@pytest.mark.parametrize("shape", [(32, 40, 3), (1, 32, 32)])
def test_mobilenet_does_what_an_encoder_must(shape: tuple[int, ...]) -> None:
    config = example("mobilenet_encoder").MobileNetV2EncoderConfig(width=0.25, features=16)
    check_encoder(config, spaces.Box(0, 255, shape, np.uint8))


def test_plugin_encoder_is_chosen_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT / "examples")
    example("plugin_encoder").main()
    assert re.search(r"main\.encoder +fourier ", capsys.readouterr().out)


def test_weights_are_carried_from_one_model_to_another(capsys: pytest.CaptureFixture[str]) -> None:
    example("partial_loading").main()
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "saved and loaded: main, critic, policy, value, distribution"
    assert out[1:] == [
        "the frozen trunk is the first trainer's: True",
        "acts with main, policy, distribution",
    ]


def test_plugin_distribution_is_chosen_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT / "examples")
    example("plugin_distribution").main()
    assert re.search(r"distribution +laplace +2 → 2", capsys.readouterr().out)


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_plugin_distribution_does_what_it_must(data: st.DataObject) -> None:
    config = example("plugin_distribution").LaplaceConfig()
    check_distribution(config, data.draw(accepted_by(config)))


def test_plugin_space_is_learnt() -> None:
    assert example("plugin_space").main() >= 0.9  # random actions get 0.25


PAGES = ("README.md", "docs/testing.md", "docs/custom_modules.md", "docs/memories.md")
SNIPPETS = [
    (page, snippet)
    for page in PAGES
    for snippet in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
]


@pytest.mark.parametrize(("page", "snippet"), SNIPPETS)
def test_a_snippet_of_the_documentation_runs(
    page: str, snippet: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, page, "exec"), {"__name__": "snippet"})


def test_readme_experiment_is_valid(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    *_, snippet = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(snippet)
    experiment = Experiment.load(["experiment=mine"], config_dir=tmp_path / "conf")
    assert experiment.config.env.to_data()["id"] == "Pendulum-v1"
    assert experiment.blueprint.by_name["main.encoder"].out_dim == 128


def test_readme_model_of_nested_spaces_composes() -> None:
    text = (ROOT / "README.md").read_text()
    snippet, *_ = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    camera, number = spaces.Box(0, 255, (32, 32, 3), np.uint8), spaces.Box(-1, 1, (1,), np.float32)
    seen = spaces.Dict(image=camera, speed=number)
    done = spaces.Dict(gear=spaces.Discrete(3), steer=number)
    blueprint = compose(seen, done, yaml.safe_load(snippet)["model"], "ppo")
    types = {node.name: node.to_data()["config"]["type"] for node in blueprint.nodes}
    assert types["main.encoder.image"] == "impala_cnn"
    assert types["distribution.steer"] == "squashed_gaussian"


def readme_yaml(word: str) -> str:
    """The README's YAML in which a word stands."""
    found = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (snippet,) = (each for each in found if word in each)
    return snippet


def test_readme_model_with_auxiliary_heads_composes() -> None:
    snippet = readme_yaml("critic_reconstruction")
    vector = spaces.Box(-1, 1, (3,), np.float32)
    image = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    for algorithm, obs, actions in (("ppo", vector, spaces.Discrete(2)), ("sac", image, vector)):
        blueprint = compose(obs, actions, yaml.safe_load(snippet)["model"], algorithm)
        assert blueprint.by_name["critic_reconstruction"].inputs == ("critic.encoder",)
        assert blueprint.by_name["next_state"].to_data()["stop_gradient"]


MEMORIES = re.findall(
    r"^    composer train (.*memory.*)", (ROOT / "README.md").read_text(), re.MULTILINE
)


@pytest.mark.parametrize("line", MEMORIES)
def test_readme_lines_about_memories_can_be_typed(line: str) -> None:
    experiment = Experiment.load(shlex.split(line, comments=True))
    assert "main.memory" in experiment.blueprint.by_name


TRAINED = re.findall(
    r"^    composer train (.*model\.heads.*)", (ROOT / "README.md").read_text(), re.MULTILINE
)


@pytest.mark.parametrize("line", TRAINED)
def test_readme_lines_about_auxiliary_heads_can_be_typed(line: str) -> None:
    experiment = Experiment.load(shlex.split(line, comments=True))
    assert "SelfSupervisedLossAPI" in {api.label() for api in experiment.blueprint.apis}


LINES = re.findall(
    r"^    composer explain \$E ?(.*)", (ROOT / "README.md").read_text(), re.MULTILINE
)


@pytest.mark.parametrize("line", LINES)
def test_readme_lines_about_nested_spaces_can_be_typed(line: str) -> None:
    words = shlex.split(line, comments=True)
    experiment = Experiment.load(["env.id=composer.testing:DictBandit-v0", *words])
    assert experiment.blueprint.parameter_count > 0


OPTIMISERS = re.findall(
    r"^    composer train (algorithm\.(?:optimiser|lr).*)",
    (ROOT / "README.md").read_text(),
    re.MULTILINE,
)


@pytest.mark.parametrize("line", OPTIMISERS)
def test_readme_lines_about_optimisers_can_be_typed(line: str) -> None:
    experiment = Experiment.load(shlex.split(line, comments=True))
    assert experiment.blueprint.parameter_count > 0


def test_readme_optimiser_is_valid(tmp_path: Path) -> None:
    snippet = readme_yaml("optimiser")
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(snippet)
    experiment = Experiment.load(["experiment=mine"], config_dir=tmp_path / "conf")
    assert experiment.blueprint.parameter_count > 0
    settings = experiment.config.algorithm.optimiser.settings_of("main.encoder.layers.0.bias")
    assert (settings.lr, settings.weight_decay, settings.frozen_until) == (1e-5, 0.0, 20_000)


def test_a_dict_of_actions_is_learnt_from_a_dict_of_observations() -> None:
    assert example("dict_spaces").main(total_steps=2_000) >= 0.7  # random actions get 0.42


def test_a_field_of_a_plugin_is_set_beside_its_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "examples")
    example("plugin_encoder")
    words = ["model/encoder=fourier", "model.encoder.features=16"]
    config = Experiment.load(words).blueprint.by_name["main.encoder"].to_data()["config"]
    assert (config["type"], config["features"]) == ("fourier", 16)
