"""Between pictures as they are stored and planes of levels to compute with.

B: samples of the batch. C: the three channels. H, W: rows and columns of the picture.
"""

from __future__ import annotations

import torch
from torch import Tensor


def planes(images_BHWC: Tensor) -> Tensor:
    """Pictures as float32 (B, 3, H, W), contiguous."""
    return images_BHWC.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)


def pixels(planes_BCHW: Tensor) -> Tensor:
    """What `planes` was made from: uint8 (B, H, W, 3), contiguous."""
    return planes_BCHW.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
