"""The share of the training images that a stated cost pays for: `select.cost` in, an epoch's `At.share` out.

Solved anew before every epoch from what has been spent, so that whatever came out otherwise than expected (scoring,
guards, rounding) is made up for by the epochs that are left. Pure functions of a plan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fewer.core.types import At, Expectation

if TYPE_CHECKING:
    from fewer.plan.plan import Plan

_HALVINGS = 50


def epoch_flops(plan: Plan, epoch: int, expects: Expectation) -> tuple[float, float]:
    """Lowest and highest FLOPs of an epoch's scoring and training."""
    images, flops = plan.facts.train_images, plan.sample_flops(epoch)
    scoring = round(expects.scored * images) * plan.scoring_flops(epoch)
    low, high = (round(share * images) for share in (expects.kept_low, expects.kept_high))
    return tuple(kept * (flops.forward + flops.backward) + scoring for kept in (low, high))  # type: ignore[return-value]


def affordable_share(plan: Plan, expects: Callable[[At], Expectation], epoch: int, spent_flops: float) -> float | None:
    """The share that every epoch from `epoch` on may train on, so that the run costs what was asked.

    Args:
        plan: The plan.
        expects: What the selector expects of an epoch; it must not fall as `At.share` rises.
        epoch: The first epoch that is still to come.
        spent_flops: What the run has cost so far.

    Returns:
        A share in [0, 1]; None where no cost was asked.
    """
    asked = plan.cost
    if asked is None:
        return None
    left = asked * plan.full_flops - spent_flops
    low, high = 0.0, 1.0
    if remaining_flops(plan, expects, epoch, high) <= left:
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if remaining_flops(plan, expects, epoch, middle) <= left:
            low = middle
        else:
            high = middle
    # Where class floors cost as much at share 0, whatever the method adds to them would come on top.
    floor = remaining_flops(plan, expects, epoch, 0.0)
    return 0.0 if remaining_flops(plan, expects, epoch, low) <= floor else low


def remaining_flops(plan: Plan, expects: Callable[[At], Expectation], epoch: int, share: float) -> float:
    """What the epochs from `epoch` on, and the hand-over, cost where each trains on this share."""
    each = [expects(plan.at(e, share=share)) for e in range(epoch, plan.epochs)]
    flops = sum(epoch_flops(plan, e, told)[1] for e, told in enumerate(each, epoch))
    return flops + (plan.batchnorm_flops if each and each[-1].kept_low < 1 else 0.0)


def missed_cost(plan: Plan, spent_flops: float) -> str:
    """What to say of a run that took another share of the full cost than was asked; empty within 1 %."""
    took = spent_flops / plan.full_flops
    if plan.cost is None or abs(took - plan.cost) <= 0.01 * plan.cost:
        return ""
    return f"select.cost = {plan.cost:g} was missed: the run took {took:.3g} of the full cost"


def smallest_cost(plan: Plan, expects: Callable[[At], Expectation]) -> float:
    """The smallest share of the full cost that the method can do with."""
    return (plan.reference_flops + remaining_flops(plan, expects, 0, 0.0)) / plan.full_flops
