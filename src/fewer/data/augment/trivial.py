"""TrivialAugment, wide.

Müller & Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", ICCV 2021.

Each view gets one of 14 operations, all equally likely, at one of 31 magnitudes, and where that has a sign, either.
Ranges and magnitudes are those of torchvision's TrivialAugmentWide.

B: samples of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fewer.data.augment.key import Key
from fewer.data.augment.operations import BINS, OPERATIONS, Operations

_LARGEST = {
    **dict.fromkeys(("brightness", "color", "contrast", "sharpness", "shear_x", "shear_y"), 0.99),
    **dict.fromkeys(("translate_x", "translate_y"), 32.0),  # px
    "rotate": 135.0,  # degrees
    "posterize": 6.0,  # bits dropped
    "solarize": 1.0,  # share of the levels inverted
}


def drawn(key: Key, strength: float) -> Operations:
    """Draws an operation for each sample of a batch; magnitudes are scaled by `strength`."""
    operation_B = key.below(len(OPERATIONS), "trivial_operation").cpu()
    bin_B = key.below(BINS, "trivial_magnitude").cpu()
    is_negative_B = key.below(2, "trivial_sign").cpu() == 1
    return Operations.signed(operation_B, magnitudes()[operation_B, bin_B] * strength, is_negative_B)


def magnitudes() -> Tensor:
    """Magnitude of every operation, without sign, in every bin, float64; in float32 steps, as torchvision's."""
    rows = [torch.linspace(0.0, _LARGEST.get(name, 0.0), BINS).double() for name in OPERATIONS]
    rows[OPERATIONS.index("solarize")] = 1 - torch.linspace(1.0, 0.0, BINS).double()
    return torch.stack(rows)
