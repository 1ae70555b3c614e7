"""`next_state`: features ‖ action → what is seen next."""

from typing import Any, ClassVar, Literal

import gymnasium as gym
import torch
from torch import Tensor

from composer.columns import Columns
from composer.heads._auxiliary import AuxiliaryHead, AuxiliaryHeadConfig, Transition
from composer.heads._codes import Code, action_code, code_of, normalised_space, uncoded, widths
from composer.heads._decoder import Decoder, decoder
from composer.heads.reconstruction import MADE
from composer.spaces import describe


class NextStateHeadConfig(AuxiliaryHeadConfig):
    """What follows an action: the next observation, or the features that the trunk has of it.

    Errors are those of `reconstruction`; of features squared, and they do not train the trunk
    through what is predicted, only through what it is predicted from.
    """

    type: Literal["next_state"] = "next_state"
    predict: Literal["observation", "features"] = "observation"

    spans_a_step: ClassVar[bool] = True

    @property
    def inputs(self) -> tuple[str, ...]:
        return (Columns.ACTIONS,)

    @property
    def otherwise(self) -> dict[str, Any]:
        return {"predict": "features"}

    def refusal(self, space: gym.Space, action_space: gym.Space) -> str | None:
        if uncoded(action_space) is not None:
            return unencoded(self.type, action_space)
        odd = uncoded(space) if self.predict == "observation" else None
        return None if odd is None else f"`next_state` predicts {MADE}, not {odd}, but its features"

    def in_dim(self, features: int, space: gym.Space, action_space: gym.Space) -> int:
        return features + sum(widths(normalised_space(action_space)))

    def out_dim(self, features: int, space: gym.Space, action_space: gym.Space) -> int:
        return features if self.predict == "features" else sum(widths(space))

    def build(self, features: int, space: gym.Space, action_space: gym.Space) -> "NextStateHead":
        in_dim = self.in_dim(features, space, action_space)
        actions = action_code(normalised_space(action_space))
        if self.predict == "observation":
            predictor = decoder(self, in_dim, space)
            return NextStateHead(predictor=predictor, actions=actions, code=code_of(space))
        predictor = Decoder(
            hidden=self.stack(in_dim), outputs=[self.output(self.width(in_dim), features)]
        )
        return NextStateHead(predictor=predictor, actions=actions, code=None)


def unencoded(tag: str, action_space: gym.Space) -> str:
    """The refusal of actions that have no vector of one length."""
    return (
        f"`{tag}` takes Box, Discrete, MultiDiscrete and MultiBinary actions, and a Dict or Tuple "
        f"of them, not {describe(action_space)}"
    )


class NextStateHead(AuxiliaryHead):
    """A predictor; without a code it predicts features."""

    def __init__(self, *, predictor: Decoder, actions: Code, code: Code | None) -> None:
        super().__init__()
        self.predictor = predictor
        self.actions = actions
        self.code = code

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs: features ‖ actions `(*B, F + A)` → what follows, `(*B, dim)`."""
        return torch.cat(self.predictor(inputs), -1)

    def errors(self, seen: Transition) -> Tensor:
        inputs = torch.cat([seen.features, self.actions(seen.actions)], -1)
        predicted = self.predictor(inputs)
        if self.code is not None:
            return self.code.error(predicted, seen.next_obs)
        return (predicted[0] - seen.next_features.detach()).square().mean(-1)
