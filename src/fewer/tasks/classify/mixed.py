"""The outcome of mixed images, each of which has two labels, from the outcomes for either label."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, Union

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.observation import Outcome

Weight: TypeAlias = Union[float, "Tensor"]


def mixed(own: Outcome, other: Outcome, share_B: Tensor, same_B: Tensor, weights: tuple[Weight, Weight]) -> Outcome:
    """Losses by the shares of both labels, which for cross-entropy is its value for soft targets.

    The score is exp(H(y) - CE(y, p)) for the soft target y: 1 where the prediction is y itself. A mixed image is
    predicted correctly where the prediction is the class with the larger share, at equal shares the first label's.

    Args:
        own: The outcome for the first label.
        other: That for the second label, of the same output.
        share_B: Share of the first label.
        same_B: Whether both labels are the same.
        weights: Factors on the losses for either label, which these have already.
    """
    import torch

    share_B = share_B.to(own.loss_sum_B)
    rest_B = 1 - share_B
    with torch.no_grad():
        own_B, other_B = (-torch.xlogy(part_B, part_B).masked_fill(same_B, 0) for part_B in (share_B, rest_B))
        entropy_B = own_B + other_B
        score_B = (entropy_B.exp() * own.score_B**share_B * other.score_B**rest_B).clamp(max=1)
    return replace(
        own,
        loss_sum_B=share_B * own.loss_sum_B + rest_B * other.loss_sum_B,
        score_B=score_B,
        right_B=torch.where(share_B >= 0.5, own.right_B, other.right_B),
        floor_B=weights[0] * own_B + weights[1] * other_B,
    )
