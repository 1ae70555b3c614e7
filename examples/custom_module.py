"""A module written by hand, trained from YAML as a composed one is.

    composer train --config-dir conf experiment=custom_module
    composer train model=custom model.path=custom_module.ActorCritic model.config.hidden=32

from the directory of this file; `check`, `explain`, `eval` and `resume` take it too.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from composer import Columns, RLModule


class ActorCritic(RLModule):
    """One encoder, picked by the catalog for whatever is observed; an actor and a critic on it."""

    def setup(self) -> None:
        # Set already: self.observation_space, self.action_space, self.model_config, self.catalog.
        encoder = self.catalog.encoder(self.observation_space).config
        features = encoder.out_dim(self.observation_space)
        hidden = self.model_config["hidden"]
        self.encoder = encoder.build(self.observation_space)
        # The distribution that the action space asks for says how many inputs it takes.
        distribution = self.catalog.distribution(self.action_space).config
        outputs = distribution.bind(self.action_space).inputs_dim
        self.policy = _layers(features, hidden, outputs)
        self.value = _layers(features, hidden, 1)

    def _forward(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        features = self.encoder(batch[Columns.OBS])
        return {
            Columns.ACTION_DIST_INPUTS: self.policy(features),
            Columns.EMBEDDINGS: features,
        }

    def compute_values(self, batch: Mapping[str, Any], embeddings: Any = None) -> Tensor:
        features = self.encoder(batch[Columns.OBS]) if embeddings is None else embeddings
        return self.value(features).squeeze(-1)

    def get_non_inference_attributes(self) -> list[str]:
        return ["value"]


def _layers(inputs: int, hidden: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, outputs))


def main(total_steps: int = 20_000) -> float:
    """Trains the module of the experiment, and returns the mean return of its last evaluation."""
    from composer import Experiment, Trainer

    words = ["experiment=custom_module", f"total_steps={total_steps}"]
    experiment = Experiment.load(words, config_dir="conf")
    trainer = Trainer(experiment)
    while not trainer.done:
        trainer.step()
    result = trainer.evaluate()
    trainer.close()
    print(f"return {result.mean:.1f}")
    return result.mean


if __name__ == "__main__":
    main()
