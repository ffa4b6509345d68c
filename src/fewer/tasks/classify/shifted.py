"""Cross-entropy of logits that are shifted in training only; prediction and score know nothing of the shift."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fewer.tasks.classify.cross_entropy import cross_entropy

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.observation import Outcome


def of_shifted(logits_BC: Tensor, shift_BC: Tensor, label_B: Tensor, label_smoothing: float) -> Outcome:
    """The loss of `logits_BC + shift_BC`, with score and correctness of the logits themselves.

    Args:
        logits_BC: Scores before softmax; half precision is widened before anything is added.
        shift_BC: What is added, float64; (1, C) where it is the same for all samples.
        label_B: True classes.
        label_smoothing: As for `cross_entropy`.
    """
    import torch

    wide = torch.float64 if logits_BC.dtype == torch.float64 else torch.float32
    plain = cross_entropy(logits_BC.detach(), label_B)
    shifted_BC = logits_BC.to(wide) + shift_BC.to(wide)
    return replace(plain, loss_sum_B=cross_entropy(shifted_BC, label_B, label_smoothing).loss_sum_B)
