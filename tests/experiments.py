"""Small experiments for the tests of training, as data: nothing here goes through Hydra."""

import contextlib
import copy
import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import yaml
from torch import nn

from composer.algorithms.base import OnPolicyConfig
from composer.algorithms.ppo import PPO
from composer.apis import ValueFunctionAPI
from composer.columns import Columns
from composer.engines.trainer import Trainer
from composer.experiment import Experiment
from composer.module.rl_module import RLModule
from composer.spaces import leaves
from composer.training.on_policy import OnPolicyDriver
from composer.training.run_directory import RunDirectory

CONF = resources.files("composer.conf")


def experiment(env: str | dict[str, Any] = "Counter", **data: Any) -> Experiment:
    """An experiment whose rollouts are small.

    Args:
        env: A problem of `composer.testing` by name, or the whole `env`.
        data: Further parts of the configuration; `algorithm` holds only what differs.
    """
    if isinstance(env, str):
        env = {"id": f"composer.testing:{env}-v0", "num_envs": 2}
    algorithm = data.get("algorithm", {})
    if algorithm.get("type", "ppo") == "ppo":
        small = {"type": "ppo", "rollout_steps": 8, "num_minibatches": 2, "epochs": 2}
        algorithm = small | algorithm
    return Experiment.from_data(
        {
            "env": {"type": "gym"} | env,
            "catalog": yaml.safe_load(CONF.joinpath("catalog/default.yaml").read_text()),
            "engine": {"type": "local"},
            "evaluation": {"every": 0, "episodes": 4, "num_envs": 2},
            "checkpoint": {"every": 0},
            "logging": {"every": 0},
            "total_steps": 64,
            **data,
            "algorithm": algorithm,
        }
    )


def tuned(env_id: str, stem: str, **data: Any) -> Experiment:
    """The experiment of a file in `conf/tuned/`."""
    settings = yaml.safe_load(CONF.joinpath(f"tuned/{stem}.yaml").read_text())
    return Experiment.from_data(
        {
            "catalog": yaml.safe_load(CONF.joinpath("catalog/default.yaml").read_text()),
            "engine": {"type": "local"},
            **settings,
            **data,
            "env": {"type": "gym", "id": env_id} | settings.get("env", {}),
            "algorithm": {"type": stem.rpartition("_")[2]} | settings["algorithm"],
        }
    )


@contextlib.contextmanager
def trainer_of(
    wanted: Experiment, callbacks: Any = (), run: Any = None, **start: Any
) -> Iterator[Trainer]:
    """A trainer that is closed when the test is done with it."""
    with contextlib.closing(Trainer(wanted, callbacks, run, **start)) as trainer:
        yield trainer


def new_run(path: Path, wanted: Experiment) -> RunDirectory:
    """A run's directory in an empty one."""
    return RunDirectory.create(path, wanted.to_data())


def rows_of(run: RunDirectory) -> list[dict[str, float]]:
    """What `metrics.jsonl` holds, times left out."""
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    return [untimed(json.loads(line)) for line in lines]


def untimed(row: dict[str, float]) -> dict[str, float]:
    """A row of metrics without those that no seed decides."""
    return {name: value for name, value in row.items() if not name.startswith("time/")}


class Blind(gym.ObservationWrapper):
    """Whatever there is to see, the same is seen."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        space = copy.deepcopy(env.observation_space)
        space.seed(0)
        self.seen = space.sample()

    def observation(self, observation: Any) -> Any:
        return self.seen


class Pictured(gym.ObservationWrapper):
    """A number from -1 to 1 is the brightness of a picture."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(0, 255, (16, 16, 1), np.uint8)

    def observation(self, observation: Any) -> Any:
        return np.full((16, 16, 1), 127.5 * (1 + observation[0]), np.uint8)


class Repeated(gym.ObservationWrapper):
    """A number is seen once, twice or three times."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Sequence(env.observation_space, stack=True)

    def observation(self, observation: Any) -> Any:
        return np.repeat(observation[None], 1 + int(abs(100 * observation[0])) % 3, 0)


class Keyed(gym.ObservationWrapper):
    """A number is its sign, a choice, and its size."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Dict(
            sign=gym.spaces.Discrete(2), size=gym.spaces.Box(0.0, 1.0, (1,), np.float32)
        )

    def observation(self, observation: Any) -> Any:
        return {"sign": np.int64(observation[0] > 0), "size": np.abs(observation)}


class Uneven(gym.Env[np.ndarray, np.int64]):
    """Every episode has nine steps where the first seed was odd, else one; a step pays 1."""

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = gym.spaces.Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.length = 9 if seed % 2 else 1
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.count += 1
        over = self.count == self.length
        info = {"won": self.length == 1, "nested": {"length": self.length}} if over else {}
        return np.zeros(1, np.float32), 1.0, over, False, info


gym.register("Uneven-v0", entry_point="experiments:Uneven")


class Probe(RLModule, ValueFunctionAPI):
    """Uniform over a Discrete space until it learns, and values an observation at ten times it.

    It has `compute_values` and returns no `vf_preds`.
    """

    def setup(self) -> None:
        self.logits = nn.Parameter(torch.zeros(int(self.action_space.n)))
        self.factor = nn.Parameter(torch.tensor(10.0))

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        size = leaves(batch[Columns.OBS])[0].shape[0]
        return {Columns.ACTION_DIST_INPUTS: self.logits.expand(size, -1)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.factor * leaves(batch[Columns.OBS])[0].squeeze(-1)


@contextlib.contextmanager
def driver_of(wanted: Experiment, module: RLModule | None = None) -> Iterator[OnPolicyDriver]:
    """The experiment's driver, at the beginning of training."""
    config = wanted.config
    module = module or wanted.blueprint.build(seed=config.seed)
    with contextlib.closing(config.env.make()) as envs:
        assert isinstance(config.algorithm, OnPolicyConfig)
        driver = OnPolicyDriver(config.algorithm, module, envs, config.seed)
        driver.restart(0)
        yield driver


def record_minibatches(algorithm: PPO) -> list[dict[str, Any]]:
    """The minibatches that the algorithm's loss sees from now on, with what it returned."""
    seen: list[dict[str, Any]] = []
    loss = algorithm.loss

    def recorded(batch: dict[str, Any]) -> Any:
        total, metrics = loss(batch)
        seen.append({**batch, "total": total.detach(), "metrics": metrics})
        return total, metrics

    algorithm.loss = recorded
    return seen


class Infinite(gym.Wrapper):
    """Pays infinitely much at one step of each environment's life."""

    def __init__(self, env: gym.Env, at: int) -> None:
        super().__init__(env)
        self.left = at

    def step(self, action: Any) -> Any:
        self.left -= 1
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, float("inf") if self.left == 0 else reward, terminated, truncated, info
