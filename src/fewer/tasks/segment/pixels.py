"""The pixels of a batch: their classes, and what a network says of them.

B: images of the batch. C: classes. H, W: rows and columns of the frame; h, w: those of the logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Pixels:
    """Pixels with their classes and the logarithms of their probabilities.

    Attributes:
        log_p_BCHW: Log-softmax over the classes, float32 or wider.
        label_BHW: Class ids, int64; 0 where a pixel is not valid.
        valid_BHW: Which pixels have a class.
    """

    log_p_BCHW: Tensor
    label_BHW: Tensor
    valid_BHW: Tensor

    @classmethod
    def of(cls, logits_BChw: Tensor, mask_BHW: Tensor) -> Pixels:
        """Pixels of a mask, which the logits are interpolated to.

        Args:
            logits_BChw: Scores before softmax, at the mask's resolution or less; half precision is widened before they
                are interpolated.
            mask_BHW: Class ids; 255, and whatever else is no class, is not valid.
        """
        logits_BCHW = at_size(logits_BChw, (mask_BHW.shape[1], mask_BHW.shape[2]))
        label_BHW = mask_BHW.long()
        valid_BHW = label_BHW < logits_BCHW.shape[1]
        return cls(torch.log_softmax(logits_BCHW, dim=1), label_BHW.masked_fill(~valid_BHW, 0), valid_BHW)

    @cached_property
    def count_B(self) -> Tensor:
        """Valid pixels of each image."""
        return self.valid_BHW.sum((1, 2))

    @cached_property
    def nll_BHW(self) -> Tensor:
        """Cross-entropy of each pixel; 0 where a pixel is not valid."""
        return self.masked(-self.log_p_BCHW.gather(1, self.label_BHW[:, None]).squeeze(1))

    @cached_property
    def mean_nll_B(self) -> Tensor:
        """Mean cross-entropy of each image's valid pixels; 0 without any."""
        return self.nll_BHW.sum((1, 2)) / self.count_B.clamp(min=1)

    @cached_property
    def right_share_B(self) -> Tensor:
        """Share of each image's valid pixels whose class is the most probable one; 0 without any."""
        right_BHW = (self.log_p_BCHW.argmax(1) == self.label_BHW) & self.valid_BHW
        return right_BHW.sum((1, 2)) / self.count_B.clamp(min=1)

    def masked(self, value_BHW: Tensor) -> Tensor:
        """A value of each pixel; 0 where a pixel is not valid."""
        return value_BHW.masked_fill(~self.valid_BHW, 0)


def at_size(logits_BChw: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits at another resolution, (rows, columns), bilinearly; float32 or wider."""
    wide = logits_BChw if logits_BChw.dtype == torch.float64 else logits_BChw.float()
    if tuple(wide.shape[-2:]) == size:
        return wide
    return F.interpolate(wide, size=size, mode="bilinear", align_corners=False)
