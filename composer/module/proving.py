"""A module's first call of each phase, checked; and what a failed one is put down to."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from composer.columns import Columns
from composer.errors import ModuleError, Problem, did_you_mean, nearest_first
from composer.module.io_specs import Bound, Specs, flat, misfits
from composer.module.space_specs import space_specs
from composer.spaces import leaves, misfit

Phase = Literal["train", "exploration", "inference"]
MISTAKES = (RuntimeError, TypeError, ValueError, LookupError, AttributeError)
"""What is raised by a batch that is not as it must be."""


def require_phase(phase: str) -> None:
    """Refuses what is no phase."""
    names = get_args(Phase)
    if phase not in names:
        message = f"there is no phase `{phase}`{did_you_mean(str(phase), names)}"
        raise ModuleError(Problem(message, valid=nearest_first(str(phase), names)))


def require(
    module: Any,
    side: Literal["input", "output"],
    phase: Phase,
    values: Any,
    bound: Bound | None = None,
    specs: Specs | None = None,
) -> None:
    """Holds values against the specs of one side of a module's phase.

    Args:
        module: An RLModule.
        side: `input_specs_…` or `output_specs_…`.
        phase: Whose.
        values: A batch, or what a forward returned.
        bound: The sizes of named axes that are known; gains those of `values`.
        specs: Others than the module's own.

    Raises:
        ModuleError: For each column that is not as the specs say.
    """
    require_phase(phase)
    told = f"`forward_{phase}` of {type(module).__name__} " + _VERBS[side]
    if not isinstance(values, Mapping):
        raise ModuleError(f"{told} a mapping of columns, not {type(values).__name__}")
    name = f"{side}_specs_{phase}"
    own = getattr(module, name)() if specs is None else specs
    columns = flat(own, f"`{name}` of {type(module).__name__}")
    if wrong := [
        f"{told} {words}" for words in misfits(columns, values, {} if bound is None else bound)
    ]:
        raise ModuleError(*wrong)


_VERBS = {"input": "takes", "output": "must return"}


def prove(module: Any, phase: Phase, batch: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The first call of a phase: what goes in and comes out is checked, but where torch traces.

    Raises:
        ModuleError: For each column that is not as the specs say.
    """
    forward = getattr(module, f"_forward_{phase}")
    if torch.compiler.is_compiling():
        return forward(batch, **kwargs)
    bound: Bound = {}
    require(module, "input", phase, batch, bound)
    out = forward(batch, **kwargs)
    require(module, "output", phase, out, bound)
    _require_known_state(module, phase, out)
    _require_tensors(module, phase, out)
    module.proven.add(phase)
    return out


def _require_known_state(module: Any, phase: Phase, out: Mapping[str, Any]) -> None:
    """Refuses a state of which nobody knows how it begins."""
    if out.get(Columns.STATE_OUT) and not module.is_stateful:
        raise ModuleError(
            f"`forward_{phase}` of {type(module).__name__} returns `{Columns.STATE_OUT}`, and its "
            "`get_initial_state` gives nothing: return there what the state is where episodes begin"
        )


def _require_tensors(module: Any, phase: Phase, out: Mapping[str, Any]) -> None:
    """Refuses what is acted by, where it is no tensor."""
    told = f"`forward_{phase}` of {type(module).__name__} must return"
    inputs, actions = out.get(Columns.ACTION_DIST_INPUTS), out.get(Columns.ACTIONS)
    if inputs is not None and not (isinstance(inputs, Tensor) and inputs.is_floating_point()):
        found = inputs.dtype if isinstance(inputs, Tensor) else type(inputs).__name__
        column = Columns.ACTION_DIST_INPUTS
        raise ModuleError(f"{told} `{column}`: expected a tensor of floats, given {found}")
    found = [type(leaf).__name__ for leaf in leaves(actions) if not isinstance(leaf, Tensor)]
    if actions is not None and found:
        raise ModuleError(f"{told} `{Columns.ACTIONS}`: expected tensors, given {found[0]}")


def blame(module: Any, phase: Phase, batch: Any, error: Exception) -> None:
    """Returns if the batch is not why a forward failed.

    Raises:
        ModuleError: For each column that is not as the specs say; if an observation is not of its
            space; if torch speaks of types, for what is not of the space's own dtype.
    """
    require(module, "input", phase, batch)
    obs = flat({Columns.OBS: space_specs(module.observation_space)})
    if any(misfits(obs, batch, {})):
        return  # it reads something else
    if words := misfit(module.observation_space, batch[Columns.OBS]):
        raise ModuleError(words) from error
    if isinstance(error, RuntimeError) and "type" in str(error):
        told = f"`forward_{phase}` of {type(module).__name__} failed with {error}"
        if wrong := [f"{told}; {words}" for words in misfits(obs, batch, {}, exact=True)]:
            raise ModuleError(*wrong) from error
