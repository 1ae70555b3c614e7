"""Where a module's parameters are put."""

import re

import torch

from composer.errors import CompositionError, Problem, did_you_mean


def device_problems(device: str | torch.device) -> list[Problem]:
    """What keeps torch from using a device."""
    name = str(device)
    try:
        torch.empty(0, device=torch.device(name))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        if listed := re.match(r"Expected one of ([\w, ]+) device type", reason):
            names = listed[1].split(", ")
            reason = f"there is no kind `{name.partition(':')[0]}`{did_you_mean(name, names)}"
        message = f"torch cannot use this device: {reason}"
        return [Problem(message, "device", name, fix="device=cpu")]
    return []


def require_device(device: str | torch.device) -> None:
    """Refuses a device that torch cannot use.

    Raises:
        CompositionError: Says why.
    """
    if problems := device_problems(device):
        raise CompositionError(*problems)
