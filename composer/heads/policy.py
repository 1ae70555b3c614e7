"""`policy`: features → what the action distribution is made from."""

from typing import Literal

import gymnasium as gym
from torch import nn

from composer.apis import PolicyAPI
from composer.columns import Columns
from composer.distributions.base import DistributionConfig
from composer.heads.base import OutputHeadConfig
from composer.layers import KernelInitializer, orthogonal


class PolicyHeadConfig(OutputHeadConfig):
    """Starts close to uniform: the output layer has gain 0.01 (Andrychowicz et al., 2021)."""

    type: Literal["policy"] = "policy"
    output_kernel_initializer: KernelInitializer | None = orthogonal(0.01)

    side = "actor"
    column = Columns.ACTION_DIST_INPUTS
    explores = True
    acts = True
    offers = PolicyAPI

    def out_dim(self, action_space: gym.Space, distribution: DistributionConfig) -> int:
        return distribution.in_dim(action_space)

    def output_shape(self, out_dim: int) -> str:
        return f"*B, {out_dim}"

    def build(self, in_dim: int, out_dim: int) -> nn.Module:
        return self.layers(in_dim, out_dim)
