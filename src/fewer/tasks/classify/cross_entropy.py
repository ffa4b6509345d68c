"""Cross-entropy with label smoothing, by which classifiers are evaluated, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core.observation import Outcome

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy(logits_BC: Tensor, label_B: Tensor, label_smoothing: float = 0.0) -> Outcome:
    """Cross-entropy with label smoothing (Szegedy et al. 2016): (1 - e) CE(label) + e mean over classes of CE(class).

    Args:
        logits_BC: Scores before softmax; half precision is widened to float32.
        label_B: True classes.
        label_smoothing: e, in [0, 1).

    Returns:
        Loss with graph; the score is the probability of the true class, which smoothing does not touch.
    """
    import torch

    wide = torch.float64 if logits_BC.dtype == torch.float64 else torch.float32
    log_p_BC = torch.log_softmax(logits_BC, dim=1, dtype=wide)
    nll_B = -log_p_BC.gather(1, label_B[:, None]).squeeze(1)
    loss_B = nll_B if not label_smoothing else (1 - label_smoothing) * nll_B - label_smoothing * log_p_BC.mean(1)
    with torch.no_grad():
        return Outcome(
            loss_sum_B=loss_B,
            count_B=torch.ones_like(label_B),
            score_B=torch.exp(-nll_B),
            right_B=log_p_BC.argmax(1) == label_B,
        )
