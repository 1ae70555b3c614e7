"""Returns and advantages over rollouts `(N, T)`: environments by time."""

from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    ended: Tensor,
    gamma: float,
    gae_lambda: float,
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates (Schulman et al. 2016, eq. 16) and the values they imply.

    Args:
        rewards: `(N, T)` float.
        values: `(N, T)` float, of the observation acted on.
        next_values: `(N, T)` float, of the observation that followed: the final one of an
            episode where it ended, never the one after the reset.
        terminated: `(N, T)` bool; nothing follows, so `next_values` does not count.
        ended: `(N, T)` bool, terminated or truncated; later rewards belong to another episode.
        gamma: The discount.
        gae_lambda: 0 gives one-step errors, 1 the whole return.

    Returns:
        Advantages and value targets, each `(N, T)`.
    """
    advantages = rewards + gamma * next_values * ~terminated - values
    decay = gamma * gae_lambda * (~ended).to(advantages.dtype)
    columns = list(zip(_columns(advantages), _columns(decay), strict=True))
    later = columns[-1][0]
    for column, weight in reversed(columns[:-1]):
        column += weight * later
        later = column
    return advantages, advantages + values


@torch.no_grad()
def discounted(
    rewards: Tensor, ended: Tensor, gamma: float, initial: Tensor
) -> tuple[Tensor, Tensor]:
    """The running discounted return of each environment: its spread is what rewards scale by.

    Args:
        rewards: `(N, T)` float.
        ended: `(N, T)` bool; the sum starts anew after it.
        gamma: The discount.
        initial: `(N,)` float, the carry of the rollout before; zeros at first.

    Returns:
        `(N, T)` returns `R_t = gamma R_{t-1} + r_t`, and the carry `(N,)`.
    """
    returns = rewards.clone()
    carried = (~ended).to(rewards.dtype)
    returns[:, 0] += gamma * initial
    columns, weights = _columns(returns), _columns(gamma * carried)
    for earlier, weight, column in zip(columns, weights, columns[1:], strict=False):
        column += weight * earlier
    return returns, returns[:, -1] * carried[:, -1]


def _columns(matrix: Tensor) -> list[Any]:
    """Views of `(N, T)` by time: numpy's on the CPU, where its small operations cost a fifth."""
    return list(matrix.numpy().T) if matrix.is_cpu else list(matrix.unbind(1))
