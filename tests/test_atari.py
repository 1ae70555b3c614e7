"""Games of the Atari 2600: what is seen, and what is learnt from."""

import sys
from pathlib import Path

import ale_py
import gymnasium as gym
import numpy as np
import pytest
from experiments import experiment, trainer_of
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

from composer import conf
from composer.cli.complete import offers
from composer.columns import Columns
from composer.environments.atari import AtariEnvironmentConfig
from composer.errors import ConfigError, EnvironmentFailure
from composer.experiment import Experiment

FILES = Path(conf.__file__).parent / "env" / "atari"


def atari(game, **data):
    return AtariEnvironmentConfig.parse({"game": game, "num_envs": 2, **data}, path="env")


def test_there_is_a_file_for_every_game_that_ale_registers():
    gym.register_envs(ale_py)
    registered = {gym.registry[key].kwargs["game"] for key in gym.registry if key[:4] == "ALE/"}
    assert {path.stem for path in FILES.glob("*.yaml")} == registered
    for path in FILES.glob("*.yaml"):
        assert f"\ntype: atari\ngame: {path.stem}\n" in path.read_text()


def test_every_game_has_the_id_that_ale_registers_it_by():
    for path in FILES.glob("*.yaml"):
        made = atari(path.stem)
        assert gym.registry[made.id].kwargs["game"] == path.stem


def test_observations_are_those_of_gymnasiums_own_wrappers():
    env = gym.make("ALE/Breakout-v5", frameskip=1)
    env = FrameStackObservation(AtariPreprocessing(env), 4)
    made = atari("breakout").make_single()
    assert made.observation_space == env.observation_space
    assert (made.observation_space.shape, made.observation_space.dtype) == ((4, 84, 84), np.uint8)
    assert np.array_equal(made.reset(seed=3)[0], env.reset(seed=3)[0])
    for action in (1, 2, 3, 2, 0) * 20:
        ours, theirs = made.step(action), env.step(action)
        assert np.array_equal(ours[0], theirs[0])
        assert ours[1:4] == theirs[1:4]


def test_actions_stick_with_the_usual_probability_unless_told_otherwise():
    assert atari("pong").make_single().unwrapped.spec.kwargs["repeat_action_probability"] == 0.25
    sure = atari("pong", repeat_action_probability=0.0, full_action_space=True).make_single()
    assert sure.unwrapped.spec.kwargs["repeat_action_probability"] == 0.0
    assert sure.action_space == gym.spaces.Discrete(18)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_several_play_at_once(vectorization):
    envs = atari("pong", vectorization=vectorization, screen_size=42, frame_stack=2).make()
    assert envs.reset(seed=0)[0].shape == (2, 2, 42, 42)
    assert envs.step(np.zeros(2, np.int64))[0].dtype == np.uint8
    envs.close()


def test_the_emulator_does_not_greet(capfd):
    atari("pong").make_single().close()
    assert capfd.readouterr() == ("", "")


def test_a_lost_life_ends_an_episode_in_training_and_none_in_evaluation():
    trained = atari("breakout", terminal_on_life_loss=True)
    assert lives_at_the_end(trained) == 4
    assert lives_at_the_end(trained.for_evaluation()) == 0


def lives_at_the_end(config):
    env = config.make_single()
    env.reset(seed=0)
    ended = False
    while not ended:
        _, _, ended, _, info = env.step(1)  # throws the ball, and does not move
    return info["lives"]


def test_evaluation_takes_its_environments_whole():
    made = experiment({"type": "atari", "game": "breakout", "terminal_on_life_loss": True})
    envs = made.make_evaluation_envs()
    assert not envs.env.envs[0].get_wrapper_attr("terminal_on_life_loss")
    envs.close()


def test_training_learns_from_the_sign_of_the_reward_and_reports_all_of_it():
    env = {"id": "composer.testing:Counter-v0", "num_envs": 2, "training_reward": "sign"}
    with trainer_of(experiment(env)) as trainer:
        result = trainer.step()
        stored = trainer.driver.rollout.arrays[Columns.REWARDS]
        assert set(np.unique(stored)) == {0.0, 1.0}  # no reward comes with a dummy step
        assert result.metrics["episode_return"] == trainer.evaluate().mean > 2


def test_atari_learns_from_the_sign_and_other_environments_from_the_reward():
    assert atari("pong").training_reward == "sign"
    assert experiment().config.env.training_reward == "raw"


def test_an_unknown_game_names_the_nearest():
    with pytest.raises(ConfigError, match="ALE has no game `pongg`; did you mean `pong`") as error:
        atari("pongg").spaces()
    (problem,) = error.value.problems
    assert (problem.path, problem.value, problem.fix) == ("env.game", "pongg", "env.game=pong")


def test_a_game_without_an_action_that_does_nothing_says_so():
    with pytest.raises(ConfigError, match="no action of `backgammon` does nothing") as error:
        atari("backgammon").spaces()
    assert error.value.problems[0].fix == "env.noop_max=0"
    atari("backgammon", noop_max=0).spaces()


@pytest.mark.parametrize("game", ["backgammon", "video_checkers"])
def test_its_file_says_that_nothing_is_done(game):
    assert Experiment.load([f"env=atari/{game}"]).spaces[0].shape == (4, 84, 84)


def test_an_unknown_file_of_a_game_names_the_nearest_and_folds_the_others():
    with pytest.raises(ConfigError, match="did you mean `atari/pong`") as error:
        Experiment.load(["env=atari/pongg"])
    assert error.value.problems[0].fix == "env=atari/pong"
    assert "valid   atari/pong, acrobot, ant, atari, atari/… (103), bipedal" in str(error.value)


def test_a_missing_emulator_names_the_extra_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(EnvironmentFailure, match="`ALE/Pong-v5` needs a package") as error:
        atari("pong").make()
    assert error.value.problems[0].fix == 'pip install "rl-composer[envs]"'


def test_a_missing_opencv_names_the_extra_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(EnvironmentFailure) as error:
        atari("pong").make()
    assert error.value.problems[0].fix == 'pip install "rl-composer[envs]"'


def test_a_game_has_tuned_settings_of_its_own(tmp_path):
    file = tmp_path / "tuned" / "atari" / "pong_ppo.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("# @package _global_\nalgorithm: {lr: 0.125}\n")
    assert Experiment.load(["env=atari/pong"], tmp_path).config.algorithm.lr == 0.125
    assert Experiment.load(["env=atari/breakout"], tmp_path).config.algorithm.lr != 0.125


def test_a_file_that_undoes_the_game_that_was_typed_is_refused(tmp_path):
    file = tmp_path / "experiment" / "mine.yaml"
    file.parent.mkdir()
    file.write_text("# @package _global_\nenv: {game: tennis}\n")
    with pytest.raises(ConfigError, match="says pong, but a plain value in a file undoes it"):
        Experiment.load(["env=atari/pong", "experiment=mine"], tmp_path)


def test_a_run_is_named_after_the_game_without_a_slash():
    assert Experiment.load(["env=atari/pong"]).name == "atari-pong_ppo"


def test_a_shell_completes_games():
    found = [word for word, _ in offers("composer train env=atari/po")]
    assert found == ["env=atari/pong", "env=atari/pooyan"]
