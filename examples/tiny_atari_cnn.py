"""Convolutions written by hand, trained on Atari; then only what acting needs of a checkpoint.

    composer train --config-dir conf experiment=tiny_atari_cnn
    composer train --config-dir conf experiment=tiny_atari_cnn env=atari/breakout

from the directory of this file. `pip install "rl-composer[envs]"` brings the games.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from composer import Columns, Experiment, RLModule, Trainer


class TinyAtariCNN(RLModule):
    """Convolutions that bring an image down to one place, an actor and a critic on it.

    `model_config["conv_filters"]` holds `[channels, kernel, stride, padding]` of each.
    """

    def setup(self) -> None:
        channels, _, _ = self.observation_space.shape  # stacked frames, height, width
        layers: list[nn.Module] = []
        for out_channels, kernel, stride, padding in self.model_config["conv_filters"]:
            layers += [nn.Conv2d(channels, out_channels, kernel, stride, padding), nn.ReLU()]
            channels = out_channels
        self.encoder = nn.Sequential(*layers, nn.Flatten())
        self.policy = nn.Linear(channels, int(self.action_space.n))
        self.value = nn.Linear(channels, 1)

    def _encoded(self, batch: Mapping[str, Any]) -> Tensor:
        return self.encoder(batch[Columns.OBS] / 255.0)  # observations come as the game gives them

    def _forward(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        features = self._encoded(batch)
        return {Columns.ACTION_DIST_INPUTS: self.policy(features), Columns.EMBEDDINGS: features}

    def compute_values(self, batch: Mapping[str, Any], embeddings: Any = None) -> Tensor:
        # ppo asks for it. In an update it passes the embeddings of `_forward`, of the same batch.
        features = self._encoded(batch) if embeddings is None else embeddings
        return self.value(features).squeeze(-1)

    def get_non_inference_attributes(self) -> list[str]:
        return ["value"]


def acting_only(full: RLModule, checkpoint: Path) -> RLModule:
    """Such a module without its critic, with the weights of the checkpoint of a full one."""
    module = TinyAtariCNN(
        full.observation_space,
        full.action_space,
        model_config=full.model_config,
        inference_only=True,
    )
    module.restore_from_path(checkpoint)
    return module


WORDS = [
    "experiment=tiny_atari_cnn",
    "env.num_envs=2",  # so little that an update takes a second, and learns next to nothing
    "algorithm.rollout_steps=32",
    "logger=none",
]


def main(updates: int = 2) -> bool:
    """Trains for a few updates; whether what only acts, acts as the full module does."""
    trainer = Trainer(Experiment.load(WORDS, config_dir="conf"))
    for _ in range(updates):
        result = trainer.step()
        print(f"{result.env_steps:>4} steps: loss {result.metrics['train/loss']:.3f}")
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = Path(directory) / "checkpoint"
        trainer.save(checkpoint)
        acting = acting_only(trainer.module, checkpoint)
    obs = np.stack([acting.observation_space.sample() for _ in range(8)])
    one, other = (module.act(obs, deterministic=True) for module in (acting, trainer.module))
    trainer.close()
    same = torch.equal(one.actions, other.actions)
    print(f"acts alike with {', '.join(part for part, _ in acting.named_children())}: {same}")
    return same


if __name__ == "__main__":
    main()
