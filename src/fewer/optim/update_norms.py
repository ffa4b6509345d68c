"""Norms of an optimizer's step relative to its weights: how far each layer moves, for any optimizer.

|w' - w| / |w| for a layer's matrix or filters w. You et al. 2017 (LARS, section 4) compare layers by the norms of their
gradients; here it is the step itself, with momentum, decay and whatever else an optimizer makes of a gradient.
"""

from __future__ import annotations

import torch

from fewer.core.update_norms import UpdateNorms
from fewer.optim.rules.trust import norms


@torch.no_grad()
def measured_step(optimizer: torch.optim.Optimizer) -> UpdateNorms | None:
    """Steps, and measures how far the matrices and filters moved that have a gradient; None where there are none.

    Takes a copy of these for as long as the step lasts, and reads no value from the device.

    Args:
        optimizer: Over groups of `fewer.optim.groups.parameter_groups`.
    """
    groups = [group for group in optimizer.param_groups if group.get("kind") == "weight"]
    pairs = [pair for group in groups for pair in zip(group["names"], group["params"], strict=True)]
    pairs = [(name, weight) for name, weight in pairs if weight.grad is not None]
    if not pairs:
        optimizer.step()
        return None
    names, weights = zip(*pairs, strict=True)
    before = [weight.detach().clone() for weight in weights]
    weight_L = norms(before)
    optimizer.step()
    torch._foreach_sub_(before, [weight.detach() for weight in weights])
    return UpdateNorms(names, norms(before), weight_L)
