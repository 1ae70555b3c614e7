"""A module written by hand that holds an LSTM, trained by PPO where something must be remembered.

    composer train --config-dir conf experiment=lstm_module
    composer train --config-dir conf experiment=lstm_module model.config.lstm_cell_size=128

from the directory of this file. A step and a sequence of steps go through the same loop.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from composer import Columns, RLModule


class LSTMModule(RLModule):
    """An encoder, an LSTM, dense layers; a policy and a value on them."""

    def setup(self) -> None:
        # Set already: self.observation_space, self.action_space, self.model_config, self.catalog.
        cell_size = self.model_config["lstm_cell_size"]
        encoder = self.catalog.encoder(self.observation_space).config
        self.encoder = encoder.build(self.observation_space)
        self.lstm = nn.LSTMCell(encoder.out_dim(self.observation_space), cell_size)
        layers, width = [], cell_size
        for next_width in self.model_config["dense_layers"]:
            layers += [nn.Linear(width, next_width), nn.ReLU()]
            width = next_width
        self.dense = nn.Sequential(*layers)
        self.policy = nn.Linear(width, int(self.action_space.n))
        self.value = nn.Linear(width, 1)

    def get_initial_state(self, batch_size: int = 1) -> dict[str, Tensor]:
        # What is known where episodes begin. Nothing else says that this module is stateful.
        zeros = torch.zeros(batch_size, self.lstm.hidden_size, device=self.device)
        return {"h": zeros, "c": zeros}

    def _forward(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        features, state = self._embeddings_and_state(batch)
        return {
            Columns.ACTION_DIST_INPUTS: self.policy(features),
            Columns.EMBEDDINGS: features,
            Columns.STATE_OUT: state,
        }

    def compute_values(self, batch: Mapping[str, Any], embeddings: Any = None) -> Tensor:
        features = self._embeddings_and_state(batch)[0] if embeddings is None else embeddings
        return self.value(features).squeeze(-1)

    def get_non_inference_attributes(self) -> list[str]:
        return ["value"]

    def _embeddings_and_state(self, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Features of a step `(*B, F)` or of sequences `(B, T, F)`, and the state after it."""
        x, state = self.encoder(batch[Columns.OBS]), batch[Columns.STATE_IN]
        is_first = batch.get(Columns.IS_FIRST)
        if is_first is None:
            is_first = torch.zeros(x.shape[:-1], dtype=torch.bool, device=x.device)
        h, c = state["h"], state["c"]
        is_step = h.dim() == x.dim()  # else x has an axis more, time
        if is_step:
            x, is_first = x.unsqueeze(-2), is_first.unsqueeze(-1)
        outs = []
        for features, begins in zip(x.unbind(-2), is_first.unbind(-1), strict=True):
            keep = ~begins.unsqueeze(-1)  # nothing passes from one episode to the next
            h, c = self.lstm(features, (h * keep, c * keep))
            outs.append(h)
        out = self.dense(outs[0] if is_step else torch.stack(outs, -2))
        return out, {"h": h, "c": c}


def main(total_steps: int = 16_000) -> float:
    """Trains the module of the experiment, and returns the mean return of its last evaluation."""
    from composer import Experiment, Trainer

    words = ["experiment=lstm_module", f"total_steps={total_steps}"]
    trainer = Trainer(Experiment.load(words, config_dir="conf"))
    while not trainer.done:
        trainer.step()
    result = trainer.evaluate()
    trainer.close()
    print(f"return {result.mean:.2f}, of 8; without a memory 4")
    return result.mean


if __name__ == "__main__":
    main()
