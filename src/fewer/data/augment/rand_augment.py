"""RandAugment: some operations a view, all at one magnitude.

Cubuk, Zoph, Shlens & Le, "RandAugment: Practical automated data augmentation with a reduced search space", 2019, arXiv
1909.13719.

Each of N operations is drawn from 14, all equally likely, with replacement, and where a magnitude has a sign, either.
Ranges and magnitudes are those of torchvision's RandAugment. There a view is resampled by each geometric operation in
turn; here the maps of all of them become one, before the operations of colour.

B: samples of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fewer.data.augment.key import Key
from fewer.data.augment.operations import BINS, OPERATIONS, Operations

_LARGEST = {
    **dict.fromkeys(("brightness", "color", "contrast", "sharpness"), 0.9),
    **dict.fromkeys(("shear_x", "shear_y"), 0.3),
    **dict.fromkeys(("translate_x", "translate_y"), 150 / 331),  # of the side
    "rotate": 30.0,  # degrees
}
_MOST_BITS = 4  # that "posterize" drops


def drawn(key: Key, operations: int, level: int, side_px: int, strength: float) -> list[Operations]:
    """Draws the operations of a batch in their order; magnitudes are scaled by `strength`.

    Args:
        key: What randomness comes from.
        operations: How many a view gets.
        level: Of the magnitude, in [0, 30].
        side_px: Side of the pictures.
        strength: Factor on all magnitudes.
    """
    magnitude_O, found = magnitudes(level, side_px) * strength, []
    for number in range(operations):
        operation_B = key.below(len(OPERATIONS), f"rand_operation_{number}").cpu()
        is_negative_B = key.below(2, f"rand_sign_{number}").cpu() == 1
        found.append(Operations.signed(operation_B, magnitude_O[operation_B], is_negative_B))
    return found


def magnitudes(level: int, side_px: int) -> Tensor:
    """Magnitude of every operation at a level, without sign, float64; in float32 steps, as torchvision's."""
    most = {name: value * side_px if name.startswith("translate") else value for name, value in _LARGEST.items()}
    most["posterize"] = float(_MOST_BITS)
    magnitude_O = torch.stack([torch.linspace(0.0, most.get(name, 0.0), BINS)[level].double() for name in OPERATIONS])
    magnitude_O[OPERATIONS.index("solarize")] = 1 - torch.linspace(1.0, 0.0, BINS)[level].double()
    return magnitude_O
