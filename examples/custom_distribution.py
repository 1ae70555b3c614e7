"""A module that brings its own distribution, and does not compute the same in every phase.

    composer train --config-dir conf experiment=custom_distribution
    composer train --config-dir conf experiment=custom_distribution model.config.temperature=1.0

from the directory of this file. Where the model is composed, a distribution is chosen by its name
instead: `plugin_distribution.py`.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from torch import Tensor, nn

from composer import Columns, RLModule
from composer.distributions.base import ActionDistribution, Distribution
from composer.distributions.categorical import CategoricalDistribution
from composer.spaces import Nested


class TemperedCategorical(ActionDistribution):
    """A categorical distribution of logits that are divided by a temperature."""

    def __init__(self, *, space: gym.Space, temperature: float) -> None:
        super().__init__()
        self.bound = CategoricalDistribution.for_space(space)
        self.in_dim = self.inputs_dim = self.bound.inputs_dim
        self.temperature = temperature

    def inputs(self, outputs: Tensor) -> Tensor:
        return outputs

    def forward(self, inputs: Tensor, mask: Nested = None) -> Distribution:
        """inputs: logits `(*B, K)`, which stay as they are: others may hold them too."""
        return self.bound(inputs / self.temperature, mask)


class TemperedPolicy(RLModule):
    """Explores by a temperature; acts greedily where it does not explore."""

    def setup(self) -> None:
        inputs, hidden = self.observation_space.shape[0], self.model_config["hidden"]
        self.encoder = nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh())
        self.policy = nn.Linear(hidden, int(self.action_space.n))
        self.value = nn.Linear(hidden, 1)

    def get_train_action_dist_cls(self) -> ActionDistribution:
        # Of all phases that have no `get_<phase>_action_dist_cls` of their own; what is explored
        # by must be what is trained by.
        temperature = self.model_config["temperature"]
        return TemperedCategorical(space=self.action_space, temperature=temperature)

    def _forward(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        # Of every phase without a `_forward_<phase>`. From inputs alone actions are drawn, and
        # their log-probability is computed.
        features = self.encoder(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: self.policy(features), Columns.EMBEDDINGS: features}

    def _forward_inference(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        # Actions are taken as they are.
        return {Columns.ACTIONS: self.policy(self.encoder(batch[Columns.OBS])).argmax(-1)}

    def compute_values(self, batch: Mapping[str, Any], embeddings: Any = None) -> Tensor:
        features = self.encoder(batch[Columns.OBS]) if embeddings is None else embeddings
        return self.value(features).squeeze(-1)

    def get_non_inference_attributes(self) -> list[str]:
        return ["value"]


def main(total_steps: int = 10_000) -> float:
    """Trains, and returns the mean return of the greedy policy."""
    from composer import Experiment, Trainer

    words = ["experiment=custom_distribution", f"total_steps={total_steps}"]
    trainer = Trainer(Experiment.load(words, config_dir="conf"))
    while not trainer.done:
        trainer.step()
    mean_return = trainer.evaluate().mean
    trainer.close()
    print(f"return {mean_return:.1f}")
    return mean_return


if __name__ == "__main__":
    main()
