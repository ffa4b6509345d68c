"""SGD with momentum, plain or in Nesterov's form (Sutskever et al. 2013); torch's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

KEYS = ("momentum", "nesterov")


def build(groups: list[dict[str, Any]], lr: float, momentum: float, nesterov: bool) -> torch.optim.Optimizer:
    """Builds it over groups of parameters; weight decay is added to the gradient.

    Args:
        groups: As `groups.parameter_groups` gives them.
        lr: Peak learning rate.
        momentum: Momentum, 0 for none.
        nesterov: Nesterov's form of it.
    """
    from torch.optim import SGD

    return SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)
