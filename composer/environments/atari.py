"""Games of the Atari 2600, by ALE's name."""

import importlib
from typing import Annotated, Literal

import gymnasium
from gymnasium.vector import VectorEnv
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation
from pydantic import Field

from composer.config import Fraction, Size
from composer.environments._making import construct, spaces_of, vectorize
from composer.environments.base import EnvironmentConfig, TrainingReward
from composer.errors import ConfigError, Problem
from composer.importing import closest


class AtariEnvironmentConfig(EnvironmentConfig):
    """A game of the Atari 2600, with the usual preprocessing (Machado et al., 2018)."""

    type: Literal["atari"] = "atari"
    game: str
    """As ALE names it: `space_invaders`."""
    frame_skip: Size = 4
    """Frames that an action lasts; what is seen is the maximum of the last two."""
    frame_stack: Size = 4
    """Images in an observation."""
    screen_size: Size = 84
    """Pixels of a side."""
    noop_max: Annotated[int, Field(ge=0)] = 30
    """Up to so many frames pass before an episode begins."""
    repeat_action_probability: Fraction = 0.25
    """That a frame takes the action of the frame before it instead."""
    terminal_on_life_loss: bool = False
    """In training, an episode ends where a life is lost."""
    full_action_space: bool = False
    """All 18 actions in every game."""
    vectorization: Literal["sync", "async"] = "sync"
    training_reward: TrainingReward = "sign"

    @property
    def id(self) -> str:
        """Gymnasium's."""
        return f"ALE/{self.game.title().replace('_', '')}-v5"

    def spaces(self) -> tuple[gymnasium.Space, gymnasium.Space]:
        return spaces_of(self.make_single)

    def for_evaluation(self) -> EnvironmentConfig:
        return self.model_copy(update={"terminal_on_life_loss": False})

    def make(self, num_envs: int | None = None) -> VectorEnv:
        """As the base says.

        Raises:
            ConfigError: There is no such game, or a setting does not suit it.
            EnvironmentFailure: A package is missing.
        """
        count = self.num_envs if num_envs is None else num_envs
        return vectorize(
            self.make_single,
            count,
            self.id,
            in_processes=self.vectorization == "async",
            masks=self.has_masks,
        )

    def make_single(self) -> gymnasium.Env:
        """One environment: observations `(frame_stack, screen_size, screen_size) uint8`."""
        return construct(self._preprocessed, {}, self.id, "env")

    def _preprocessed(self) -> gymnasium.Env:
        ale = importlib.import_module("ale_py")  # which registers the games
        ale.ALEInterface.setLoggerMode(ale.LoggerMode.Error)  # without its greeting
        if self.id not in gymnasium.registry:
            raise ConfigError(self._unknown_game())
        env = gymnasium.make(
            self.id,
            frameskip=1,
            repeat_action_probability=self.repeat_action_probability,
            full_action_space=self.full_action_space,
        )
        if self.noop_max and env.get_wrapper_attr("get_action_meanings")()[0] != "NOOP":
            rule = f"no action of `{self.game}` does nothing, which would be taken at first"
            raise ConfigError(Problem(rule, "env.noop_max", self.noop_max, fix="env.noop_max=0"))
        env = AtariPreprocessing(
            env,
            noop_max=self.noop_max,
            frame_skip=self.frame_skip,
            screen_size=self.screen_size,
            terminal_on_life_loss=self.terminal_on_life_loss,
        )
        return FrameStackObservation(env, self.frame_stack)

    def _unknown_game(self) -> Problem:
        registered = (gymnasium.registry[key] for key in gymnasium.registry if key[:4] == "ALE/")
        close = closest(self.game, [str(spec.kwargs["game"]) for spec in registered])
        did_you_mean = f"; did you mean `{close[0]}`?" if close else ""
        return Problem(
            f"ALE has no game `{self.game}`{did_you_mean}",
            path="env.game",
            value=self.game,
            valid=close,
            fix=f"env.game={close[0]}" if close else "composer ls env",
        )
