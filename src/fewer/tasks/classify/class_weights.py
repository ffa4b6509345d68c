"""Weights by class in the loss, from the numbers of training images; deferred until a part of the run is over.

C: classes. N: training images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from fewer.core.clock import Duration
from fewer.core.types import At

if TYPE_CHECKING:
    from torch import Tensor

Rule = Literal["none", "effective_number", "inverse"]


def class_weights(rule: Rule, images_C: Sequence[int], beta: float) -> Tensor:
    """A weight for every class, float64, whose mean over the training images is 1.

    `inverse`: in proportion to 1 / n. `effective_number`: to (1 - beta) / (1 - beta^n) (Cui et al. 2019, arXiv
    1901.05555, eq. 4); beta = 0 is no weights, beta towards 1 the inverse. The published sum of C is another factor on
    all of them, which a loss averaged with its weights does not feel; here the loss keeps its size, and so does the
    learning rate that suits it. A class without images has the weight of the rarest other one.
    """
    import torch

    found_C = torch.tensor(images_C, dtype=torch.float64)
    n_C = found_C.clamp(min=min(filter(None, images_C), default=1))
    if rule == "inverse":
        weight_C = 1 / n_C
    elif rule == "effective_number":
        weight_C = 1 / -torch.expm1(n_C * math.log(beta)) if beta else torch.ones_like(n_C)
    else:
        return torch.ones_like(n_C)
    return weight_C * (found_C.sum() / (weight_C * found_C).sum()) if found_C.any() else torch.ones_like(n_C)


@dataclass(frozen=True)
class Reweighting:
    """Which weights apply when.

    Attributes:
        rule: How weights follow from the numbers of images.
        images_C: Training images of every class.
        beta: Of the effective number.
        begins: Uniform weights before (deferred re-weighting, Cao et al. 2019); a started epoch counts.
    """

    rule: Rule
    images_C: tuple[int, ...]
    beta: float
    begins: Duration

    def applies(self, at: At) -> bool:
        """Whether an epoch's losses are weighted."""
        return self.rule != "none" and at.epoch >= self.begins.whole_epochs(at.epochs)

    @cached_property
    def weight_C(self) -> Tensor:
        return class_weights(self.rule, self.images_C, self.beta)
