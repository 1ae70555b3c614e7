"""A step: what a forward returned, as something to act by and to store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from composer.apis import ValueFunctionAPI
from composer.columns import Columns
from composer.distributions.base import map_actions
from composer.module.proving import Phase, require
from composer.spaces import Nested

if TYPE_CHECKING:
    from composer.module.rl_module import RLModule

ACTS = f"{Columns.ACTION_DIST_INPUTS} | {Columns.ACTIONS}"
"""The columns of which a forward returns one, to act by."""


@dataclass(slots=True)
class Step:
    """What `act` returns; a field is None where the module has no such thing."""

    actions: Nested
    """What `log_prob` is about, in the normalised space: what a rollout stores."""
    env_actions: Nested
    """What `env.step` takes."""
    log_prob: Tensor | None = None
    """`(*B,)`, in nats."""
    value: Tensor | None = None
    """`(*B,)`."""
    state: Nested = None
    """The memory's state after this step; pass it to the next `act`."""
    dist_inputs: Tensor | None = None
    """`action_dist_inputs`, from which the same distribution can be made again."""


def step_from(
    module: "RLModule",
    out: Mapping[str, Any],
    batch: Mapping[str, Any],
    phase: Phase,
    generator: torch.Generator | None,
) -> Step:
    """Actions from what a forward returned, by the contract of `_forward`."""
    if not isinstance(out, Mapping):
        require(module, "output", phase, out)
    inputs = out.get(Columns.ACTION_DIST_INPUTS)
    actions = out.get(Columns.ACTIONS)
    if inputs is None and actions is None:
        require(module, "output", phase, out, specs=[ACTS])
    log_prob = None
    if inputs is not None:
        distribution = module.action_distribution(out, phase, batch.get(Columns.ACTION_MASK))
        if actions is None:
            actions = (
                distribution.deterministic()
                if phase == "inference"
                else distribution.sample(generator)
            )
        log_prob = distribution.log_prob(actions)
        env_actions = distribution.to_env(actions)
    else:
        env_actions = map_actions(module.action_space, actions)
    return Step(
        actions,
        out.get(Columns.ACTIONS_FOR_ENV, env_actions),
        log_prob,
        _values(module, out, batch) if phase == "exploration" else out.get(Columns.VF_PREDS),
        out.get(Columns.STATE_OUT),
        inputs,
    )


def _values(module: "RLModule", out: Mapping[str, Any], batch: Mapping[str, Any]) -> Tensor | None:
    missing = Columns.VF_PREDS not in out and not module.inference_only
    if missing and isinstance(module, ValueFunctionAPI):
        return module.compute_values(batch, out.get(Columns.EMBEDDINGS))
    return out.get(Columns.VF_PREDS)
