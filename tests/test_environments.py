import multiprocessing
import os
import signal
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv

from composer.environments._making import SingleEnv
from composer.environments.base import EnvironmentConfig
from composer.environments.gym import GymEnvironmentConfig, WrapperConfig
from composer.errors import ConfigError, EnvironmentFailure
from composer.experiment import Experiment
from composer.testing import Counter, CounterVector

MODES = ("sync", "async", "vector_entry_point")


def config(env_id, **data):
    return GymEnvironmentConfig.parse({"id": env_id, "num_envs": 2, **data}, path="env")


def problem_of(error):
    assert len(error.value.problems) == 1
    return error.value.problems[0]


class Touchy(gym.Env):
    """Does what its action says."""

    observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
    action_space = spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        if action == 1:
            raise Unpicklable(lambda: None)
        if action == 2:
            os._exit(7)
        if action == 3:
            raise KeyboardInterrupt
        return np.zeros(1, np.float32), 0.0, False, False, {}


class Unpicklable(Exception):
    """Would make AsyncVectorEnv wait for ever."""


class Demanding(gym.Env):
    observation_space = action_space = spaces.Discrete(2)

    def __init__(self, size):
        if size == "gone":
            raise gym.error.DependencyNotInstalled("run `pip install big-simulator`")
        if size == "module":
            raise ModuleNotFoundError("No module named 'big_simulator'")
        if size == "worker" and multiprocessing.parent_process() is not None:
            os._exit(3)
        self.rows = [None] * len(size) if size == "worker" else [None] * size


class Ragged(gym.Env):
    """Observes the number of its steps, in three ways."""

    observation_space = spaces.Dict(
        sequence=spaces.Sequence(spaces.Discrete(9)),
        text=spaces.Text(9, charset="x"),
        one=spaces.OneOf([spaces.Discrete(9), spaces.Discrete(9, start=9)]),
    )
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.count = 1
        return self.seen(), {}

    def step(self, action):
        self.count += 1
        return self.seen(), 0.0, False, False, {}

    def seen(self):
        n = self.count
        return {"sequence": (n,) * n, "text": "x" * n, "one": (np.int64(0), np.int64(n))}


class Varying(gym.Env):
    """Every one observes another number of things."""

    action_space = spaces.Discrete(2)
    made = 0

    def __init__(self):
        Varying.made += 1
        self.observation_space = spaces.Discrete(Varying.made)


class WideVector(CounterVector):
    def __init__(self, num_envs):
        super().__init__(num_envs)
        self.single_observation_space = spaces.Box(0.0, 1.0, (84, 84), np.float32)


class OtherResetVector(CounterVector):
    def __init__(self, num_envs, mode=AutoresetMode.SAME_STEP):
        super().__init__(num_envs)
        self.metadata = {} if mode is None else {"autoreset_mode": mode}


class RaisingVector(CounterVector):
    def step(self, actions):
        raise ValueError("all of it is broken")


class NotAWrapper:
    pass


class Doubled(gym.RewardWrapper):
    def __init__(self, env, factor=2.0):
        if factor == 0:
            raise ValueError("what for?")
        super().__init__(env)
        self.factor = factor

    def reward(self, reward):
        return self.factor * float(reward)


@pytest.fixture(autouse=True, scope="module")
def _registered():
    before = set(gym.registry)
    gym.register("Touchy-v0", Touchy)
    gym.register("Demanding-v0", Demanding)
    gym.register("Ragged-v0", Ragged)
    gym.register("Varying-v0", Varying)
    gym.register("Wide-v0", Counter, vector_entry_point=WideVector)
    gym.register("OtherReset-v0", Counter, vector_entry_point=OtherResetVector)
    gym.register("Broken-v0", Counter, vector_entry_point=RaisingVector)
    yield
    for env_id in set(gym.registry) - before:
        del gym.registry[env_id]


@pytest.fixture(autouse=True)
def _no_process_is_left():
    yield
    assert multiprocessing.active_children() == []


# Configuration


def test_the_family_makes_gym_environments_by_default():
    made = EnvironmentConfig.parse({"id": "CartPole-v1"})
    assert isinstance(made, GymEnvironmentConfig)
    assert made.num_envs == 8
    assert made.vectorization == "auto"


def test_config_survives_dump_and_load():
    made = config("CartPole-v1", kwargs={"a": [1, {"b": 2}]}, wrappers=["a.B", {"path": "c.D"}])
    assert GymEnvironmentConfig.parse(made.to_data()) == made


def test_a_bare_string_is_a_wrappers_path():
    assert config("X-v0", wrappers=["a.b.C"]).wrappers == (WrapperConfig(path="a.b.C"),)


@pytest.mark.parametrize("path", ["Doubled", "a.b:C", "__import__('os').getcwd", "a..b", "a.b()"])
def test_a_wrapper_is_a_dotted_path_and_no_expression(path):
    with pytest.raises(ConfigError) as error:
        config("X-v0", wrappers=[{"path": path}])
    assert problem_of(error).path == "env.wrappers[0].path"
    assert "named by its dotted path, `package.module.ClassName`" in str(error.value)


def test_an_unknown_vectorization_lists_the_known():
    with pytest.raises(ConfigError, match="did you mean `async`") as error:
        config("CartPole-v1", vectorization="asynch")
    assert problem_of(error).fix == "env.vectorization=async"


# Names


@pytest.mark.parametrize("typed", ["CartPole", "CartPole-v9", "cartpole-v1", "CartPoll-v1"])
def test_an_unknown_id_names_the_latest_version_of_the_nearest(typed):
    with pytest.raises(ConfigError) as error:
        config(typed).spaces()
    problem = problem_of(error)
    assert (problem.path, problem.value) == ("env.id", typed)
    assert "did you mean `CartPole-v1`?" in problem.message
    assert problem.fix == "env.id=CartPole-v1"


def test_a_missing_version_lists_the_versions_latest_first():
    with pytest.raises(ConfigError, match="the environment `CartPole` needs a version") as error:
        config("CartPole").make()
    assert problem_of(error).valid == ("CartPole-v1", "CartPole-v0")


def test_an_unknown_id_of_a_module_keeps_the_module_in_the_fix():
    with pytest.raises(ConfigError) as error:
        config("composer.testing:Bandits-v0").spaces()
    assert problem_of(error).fix == "env.id=composer.testing:Bandit-v0"


def test_an_unknown_namespace_asks_for_its_module():
    with pytest.raises(ConfigError, match="as in `the_module:Nowhere/Pong-v5`"):
        config("Nowhere/Pong-v5").spaces()


def test_a_module_that_cannot_be_imported_is_named(tmp_path, monkeypatch):
    (tmp_path / "half_written.py").write_text("import no_such_thing_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="`no_module_here` cannot be imported") as error:
        config("no_module_here:X-v0").spaces()
    assert problem_of(error).path == "env.id"
    with pytest.raises(ConfigError, match="No module named 'no_such_thing_at_all'"):
        config("half_written:X-v0").spaces()


def test_the_module_of_an_id_is_imported(tmp_path, monkeypatch):
    (tmp_path / "brings_one.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Brought-v0', entry_point='composer.testing:Counter')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    observation_space, action_space = config("brings_one:Brought-v0").spaces()
    assert observation_space == spaces.Box(0.0, np.inf, (1,), np.float32)
    assert action_space == spaces.Discrete(2)
    assert "brings_one" in sys.modules


def test_wrappers_apply_in_order_and_with_arguments():
    wrappers = [
        {"path": f"{__name__}.Doubled", "kwargs": {"factor": 5}},
        "gymnasium.wrappers.FlattenObservation",
        f"{__name__}.Doubled",
    ]
    env = config("Counter-v0", wrappers=wrappers).make_single()
    env.reset()
    assert env.step(0)[1] == 10.0
    assert isinstance(env, Doubled)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_module_here.Wrapper", "the module `no_module_here` cannot be imported"),
        (f"{__name__}.Doubeld", f"no `Doubeld`; did you mean `{__name__}.Doubled`?"),
        (f"{__name__}.NotAWrapper", "is not a subclass of `gymnasium.Wrapper`"),
    ],
)
def test_a_wrapper_that_is_none_is_refused(path, message):
    with pytest.raises(ConfigError) as error:
        config("Counter-v0", wrappers=["gymnasium.wrappers.FlattenObservation", path]).spaces()
    assert message in str(error.value)
    assert problem_of(error).path == "env.wrappers[1].path"


# Construction


@pytest.mark.parametrize("vectorization", ["auto", "sync", "async"])
def test_arguments_that_the_constructor_refuses(vectorization):
    made = config("CartPole-v1", kwargs={"gravityy": 1}, vectorization=vectorization)
    with pytest.raises(ConfigError) as error:
        made.make()
    problem = problem_of(error)
    assert problem.path == "env.kwargs"
    assert problem.message.endswith("got an unexpected keyword argument 'gravityy'")


def test_arguments_that_are_missing():
    with pytest.raises(ConfigError, match="missing 1 required positional argument: 'size'"):
        config("Demanding-v0").spaces()


def test_an_argument_called_id_is_refused():
    with pytest.raises(ConfigError, match="multiple values for argument 'id'"):
        config("CartPole-v1", kwargs={"id": "Acrobot-v1"}).spaces()


def test_arguments_that_a_wrapper_refuses():
    wrapper = {"path": f"{__name__}.Doubled", "kwargs": {"faktor": 3}}
    with pytest.raises(ConfigError, match="unexpected keyword argument 'faktor'") as error:
        config("Counter-v0", wrappers=[wrapper]).spaces()
    assert problem_of(error).path == "env.wrappers[0].kwargs"


def test_a_constructor_that_raises_shows_its_traceback():
    with pytest.raises(EnvironmentFailure, match="`Demanding-v0` raised while it was made") as one:
        config("Demanding-v0", kwargs={"size": 2.5}).spaces()
    assert "[None] * size" in str(one.value)
    wrapper = {"path": f"{__name__}.Doubled", "kwargs": {"factor": 0}}
    with pytest.raises(EnvironmentFailure, match=r"ValueError: what for\?"):
        config("Counter-v0", wrappers=[wrapper]).spaces()


@pytest.mark.parametrize(
    ("size", "hint"),
    [("gone", "run `pip install big-simulator`"), ("module", "No module named 'big_simulator'")],
)
def test_a_missing_package_says_what_to_install(size, hint):
    with pytest.raises(EnvironmentFailure) as error:
        config("Demanding-v0", kwargs={"size": size}).make()
    assert f"`Demanding-v0` needs a package that is missing: {hint}" in str(error.value)


def test_an_old_version_is_taken_without_a_word(capsys):
    for vectorization in ("sync", "vector_entry_point"):
        config("CartPole-v0", vectorization=vectorization).make().close()
    assert capsys.readouterr() == ("", "")


def test_an_environment_does_not_change_the_configuration():
    kwargs = {"desc": ["SF", "FG"], "is_slippery": False}
    made = config("FrozenLake-v1", kwargs=kwargs)
    made.make().close()
    assert made.kwargs == kwargs


# Vectorisation


@pytest.mark.parametrize(
    ("env_id", "data", "kind"),
    [
        ("CartPole-v1", {}, "CartPoleVectorEnv"),
        ("CartPole-v1", {"kwargs": {"sutton_barto_reward": True}}, "CartPoleVectorEnv"),
        ("CartPole-v1", {"vectorization": "sync"}, "SyncVectorEnv"),
        ("CartPole-v1", {"wrappers": ["gymnasium.wrappers.FlattenObservation"]}, "SyncVectorEnv"),
        ("CartPole-v1", {"kwargs": {"disable_env_checker": True}}, "SyncVectorEnv"),
        ("Acrobot-v1", {}, "SyncVectorEnv"),
        ("Wide-v0", {}, "SyncVectorEnv"),
        ("OtherReset-v0", {}, "SyncVectorEnv"),
    ],
)
def test_auto_takes_the_vector_form_only_where_it_fits(env_id, data, kind):
    envs = config(env_id, **data).make()
    assert type(envs.unwrapped).__name__ == kind
    assert isinstance(envs, VectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    envs.close()


def test_make_takes_a_number_of_its_own():
    envs = config("CartPole-v1").make(5)
    assert (envs.num_envs, envs.reset(seed=0)[0].shape) == (5, (5, 4))
    envs.close()


@pytest.mark.parametrize(
    ("env_id", "data", "message"),
    [
        ("Acrobot-v1", {}, "`Acrobot-v1` has no vector form of its own"),
        ("CartPole-v1", {"wrappers": ["gymnasium.wrappers.FlattenObservation"]}, "no wrappers"),
        ("Wide-v0", {}, "observes Box(0.0, 1.0, (84, 84), float32), the environment itself Box("),
    ],
)
def test_a_vector_form_that_cannot_be_had_is_refused(env_id, data, message):
    with pytest.raises(ConfigError) as error:
        config(env_id, vectorization="vector_entry_point", **data).make()
    problem = problem_of(error)
    assert message in problem.message
    assert (problem.path, problem.fix) == ("env.vectorization", "env.vectorization=sync")


@pytest.mark.parametrize(
    ("env_id", "data", "message"),
    [
        ("Acrobot-v1", {}, "has no vector form of its own"),
        ("CartPole-v1", {"wrappers": ["gymnasium.wrappers.FlattenObservation"]}, "no wrappers"),
    ],
)
def test_a_vector_form_that_is_not_there_is_found_before_any_is_made(env_id, data, message):
    (problem,) = config(env_id, vectorization="vector_entry_point", **data).problems()
    assert message in problem.message
    assert problem.path == "env.vectorization"


def test_a_vector_form_that_is_there_is_no_problem():
    assert config("CartPole-v1", vectorization="vector_entry_point").problems() == []
    assert config("Acrobot-v1").problems() == []


def test_what_is_found_while_environments_are_made_says_where_it_was_set():
    word = "env.vectorization=vector_entry_point"
    experiment = Experiment.load(["env.id=Wide-v0", word, "model/encoder=mlp"])
    with pytest.raises(ConfigError) as error:
        experiment.make_envs()
    assert problem_of(error).origin == f"{word} (command line)"


def test_arguments_that_the_vector_form_refuses():
    kwargs = {"disable_env_checker": True}
    with pytest.raises(ConfigError, match=r"form of CartPole-v1` got .*disable_env") as error:
        config("CartPole-v1", kwargs=kwargs, vectorization="vector_entry_point").make()
    assert problem_of(error).path == "env.kwargs"


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        (AutoresetMode.SAME_STEP, "same-step"),
        (AutoresetMode.DISABLED, "disabled"),
        (None, "none"),
    ],
)
def test_a_vector_form_in_another_autoreset_mode_is_refused_by_name(mode, name):
    made = config("OtherReset-v0", vectorization="vector_entry_point", kwargs={"mode": mode})
    gym.registry["OtherReset-v0"].entry_point = lambda mode: Counter()
    with pytest.raises(EnvironmentFailure, match=f"in the autoreset mode `{name}`; only `next-s"):
        made.make()
    gym.registry["OtherReset-v0"].entry_point = Counter


@pytest.mark.parametrize("mode", ["same-step", "SameStep", "disabled"])
def test_another_autoreset_mode_is_refused_as_an_argument(mode):
    name = "disabled" if mode == "disabled" else "same-step"
    with pytest.raises(EnvironmentFailure, match=f"`{name}` is not supported, only `next-step`"):
        config("CartPole-v1", kwargs={"autoreset_mode": mode}).make()


def test_what_async_cannot_vectorise_is_told_with_sync_to_type(monkeypatch):
    def refuse(*_, **__):
        raise ValueError("not this one")

    monkeypatch.setattr("composer.environments._making.AsyncVectorEnv", refuse)
    with pytest.raises(EnvironmentFailure, match=r"by `AsyncVectorEnv`:\n *ValueError") as error:
        config("Counter-v0", vectorization="async").make()
    assert problem_of(error).fix == "env.vectorization=sync"


def test_environments_of_different_spaces_cannot_be_vectorised():
    with pytest.raises(EnvironmentFailure, match="cannot be vectorised by `SyncVectorEnv`"):
        config("Varying-v0").make()


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_what_is_ragged_arrives_as_it_was_observed(vectorization):
    envs = config("Ragged-v0", vectorization=vectorization).make()
    for n, obs in enumerate([envs.reset()[0], envs.step(np.zeros(2, np.int64))[0]], start=1):
        assert obs["sequence"] == ((n,) * n,) * 2
        assert obs["text"] == ("x" * n,) * 2
        assert obs["one"] == ((0, n),) * 2
    envs.close()


@pytest.mark.parametrize("vectorization", MODES)
@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_the_step_after_an_end_resets_and_ignores_its_action(vectorization, end):
    kwargs = {"length": 2, "end": end}
    envs = config("Counter-v0", kwargs=kwargs, vectorization=vectorization).make()
    obs, _ = envs.reset(seed=0)
    history = [(obs[0, 0], 0.0, False, False)]
    for _ in range(5):
        obs, rewards, terminated, truncated, _ = envs.step(np.array([0, 1]))
        for column in (rewards, terminated, truncated):
            assert column.shape == (2,)
        assert (rewards.dtype, terminated.dtype, truncated.dtype) == (np.float64, bool, bool)
        history.append((obs[0, 0], rewards[0], terminated[0], truncated[0]))
    envs.close()
    final = (2.0, 2.0, end == "terminated", end == "truncated")
    first = (0.0, 0.0, False, False)
    assert history == [first, (1.0, 1.0, False, False), final] * 2


@pytest.mark.parametrize("vectorization", ["sync", "async", "vector_entry_point"])
def test_a_reset_between_episodes_forgets_the_end(vectorization):
    envs = config("Counter-v0", kwargs={"length": 1}, vectorization=vectorization).make()
    envs.reset()
    assert envs.step(np.array([0, 0]))[2].all()
    envs.reset()
    np.testing.assert_array_equal(envs.step(np.array([0, 0]))[1], [1.0, 1.0])
    envs.close()


# Failures while it runs


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_an_environment_that_raises_is_named_with_its_traceback(vectorization):
    envs = config("Touchy-v0", vectorization=vectorization, num_envs=3).make()
    envs.reset(seed=0)
    envs.step(np.array([0, 0, 0]))
    with pytest.raises(EnvironmentFailure) as error:
        envs.step(np.array([0, 1, 1]))
    (first,) = error.value.problems
    assert first.message.startswith("environment 1 of 3 (`Touchy-v0`; the first is 0) raised in st")
    assert first.message.endswith("at the same time raised: 2")
    assert first.message.count("Traceback (most recent call last)") == 1
    assert "raise Unpicklable(lambda: None)" in first.message
    assert "test_environments.Unpicklable: <function" in first.message
    assert envs.closed or vectorization == "sync"


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize(("at", "verb"), [(0, "reset"), (2, "step")])
def test_reset_and_step_are_told_apart(vectorization, at, verb):
    made = config("composer.testing:Raises-v0", kwargs={"at": at}, vectorization=vectorization)
    envs = made.make(1)

    def run():
        envs.reset(seed=0)
        for _ in range(3):
            envs.step(np.array([0]))

    with pytest.raises(EnvironmentFailure) as error:
        run()
    message = problem_of(error).message
    assert f"raised in {verb}:" in message
    assert message.endswith(f"ValueError: step {at}, as it was told to: 100%")


def test_a_vector_form_that_raises_is_named_without_an_index():
    envs = config("Broken-v0").make()
    envs.reset(seed=0)
    with pytest.raises(EnvironmentFailure) as error:
        envs.step(np.array([0, 0]))
    assert problem_of(error).message.startswith("`Broken-v0` raised in step:\nTraceback")
    assert "ValueError: all of it is broken" in problem_of(error).message
    assert isinstance(error.value.__cause__, ValueError)


def test_a_worker_that_dies_is_named_with_its_exit_code():
    envs = config("Touchy-v0", vectorization="async", num_envs=3).make()
    envs.reset(seed=0)
    with pytest.raises(EnvironmentFailure) as error:
        envs.step(np.array([0, 2, 0]))
    assert problem_of(error).message == (
        "the worker process of environment 1 of 3 (`Touchy-v0`; the first is 0) died with exit "
        "code 7"
    )
    envs.close()


def test_a_worker_that_dies_while_it_is_made_leaves_no_other():
    made = config("Demanding-v0", kwargs={"size": "worker"}, vectorization="async", num_envs=3)
    with pytest.raises(EnvironmentFailure, match="died while it made its environment"):
        made.make()


def test_closing_after_a_failure_does_nothing():
    envs = config("Touchy-v0", vectorization="async").make()
    envs.reset(seed=0)
    with pytest.raises(EnvironmentFailure):
        envs.step(np.array([1, 0]))
    envs.close()
    envs.close()


def test_an_interrupt_passes_and_leaves_no_worker():
    envs = config("Touchy-v0", vectorization="async").make()
    envs.reset(seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium says what it passes on
        with pytest.raises(KeyboardInterrupt):
            envs.step(np.array([3, 0]))
    assert envs.closed


def test_workers_outlive_ctrl_c_and_leave_when_told_whatever_the_trainer_handles():
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        envs = config("Touchy-v0", vectorization="async").make()
        envs.reset(seed=0)
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGINT)
        envs.step(np.array([0, 0]))
        with pytest.raises(EnvironmentFailure, match="environment 0 of 2"):
            envs.step(np.array([1, 0]))
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_config_pickles_for_workers_that_are_spawned():
    made = config("composer.testing:Counter-v0", kwargs={"length": 2})
    envs = AsyncVectorEnv([SingleEnv(made.make_single)] * 2, context="spawn")
    np.testing.assert_array_equal(envs.reset(seed=0)[0], np.zeros((2, 1)))
    envs.close()
