"""TrivialAugment, wide.

Müller & Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", ICCV 2021.

Each view gets one of 14 operations, all equally likely, at one of 31 magnitudes, and where that has a sign, either.
Ranges and magnitudes are those of torchvision's TrivialAugmentWide. Geometric operations become part of the view's one
resampling.

B: samples of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fewer.data.augment import colour, geometry
from fewer.data.augment.chunks import chunked
from fewer.data.augment.key import Key

BINS = 31
OPERATIONS = (
    *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast"),
    *("sharpness", "posterize", "solarize", "autocontrast", "equalize"),
)
_LARGEST = {
    **dict.fromkeys(("brightness", "color", "contrast", "sharpness", "shear_x", "shear_y"), 0.99),
    **dict.fromkeys(("translate_x", "translate_y"), 32.0),  # px
    "rotate": 135.0,  # degrees
    "posterize": 6.0,  # bits dropped
    "solarize": 1.0,  # share of the levels inverted
}
_UNSIGNED = ("posterize", "solarize")
_COLOUR: dict[str, tuple[colour.Operation, Callable[[Tensor], Tensor]]] = {
    "brightness": (colour.brightness, lambda magnitude: 1 + magnitude),
    "color": (colour.saturation, lambda magnitude: 1 + magnitude),
    "contrast": (colour.contrast, lambda magnitude: 1 + magnitude),
    "sharpness": (colour.sharpness, lambda magnitude: 1 + magnitude),
    "posterize": (colour.posterize, lambda magnitude: 8 - magnitude.round()),
    "solarize": (colour.solarize, lambda magnitude: 255 * (1 - magnitude)),
    "autocontrast": (colour.autocontrast, lambda magnitude: magnitude),
    "equalize": (colour.equalize, lambda magnitude: magnitude),
}


@dataclass(frozen=True, slots=True)
class Trivial:
    """What was drawn for a batch: an operation's number and its magnitude for each sample."""

    operation_B: Tensor
    magnitude_B: Tensor

    @classmethod
    def drawn(cls, key: Key, strength: float) -> Trivial:
        """Draws for all samples of a batch; magnitudes are scaled by `strength`."""
        operation_B = key.below(len(OPERATIONS), "trivial_operation").cpu()
        bin_B = key.below(BINS, "trivial_magnitude").cpu()
        sign_B = 1 - 2 * key.below(2, "trivial_sign").cpu()
        magnitude_B = magnitudes()[operation_B, bin_B] * strength
        signed_B = torch.tensor([name not in _UNSIGNED for name in OPERATIONS])[operation_B]
        return cls(operation_B, torch.where(signed_B, magnitude_B * sign_B, magnitude_B))

    def map(self, side_px: int, px_scale: float) -> Tensor:
        """The geometric operations as maps, the identity for all others, float64 (B, 3, 3).

        Args:
            side_px: Side of the pictures.
            px_scale: What one pixel of a translation is at this side.
        """
        zero_B = torch.zeros(len(self.operation_B), dtype=torch.float64)
        pick = {name: torch.where(self._is(name), self.magnitude_B, zero_B) for name in OPERATIONS[1:6]}
        right_B, down_B = ((pick[name] * px_scale).trunc() for name in ("translate_x", "translate_y"))
        map_B33 = geometry.affine(pick["rotate"], right_B, down_B, zero_B + 1, zero_B)
        for row, name in enumerate(("shear_x", "shear_y")):  # about the top left corner, as AutoAugment shears
            map_B33[:, row, 1 - row] += pick[name]
            map_B33[:, row, 2] += pick[name] * (side_px / 2)
        return map_B33

    def coloured(self, views_BHWC: Tensor) -> Tensor:
        """The views, those with an operation on colours changed in place."""
        for name, (operation, argument) in _COLOUR.items():
            chosen = self._is(name).nonzero()[:, 0]
            if len(chosen):
                rows = chosen.to(views_BHWC.device)
                chosen_BHWC, argument_B = views_BHWC.index_select(0, rows), argument(self.magnitude_B[chosen])
                views_BHWC.index_copy_(0, rows, chunked(partial(colour.applied, operation), chosen_BHWC, argument_B))
        return views_BHWC

    def _is(self, name: str) -> Tensor:
        return self.operation_B == OPERATIONS.index(name)


def magnitudes() -> Tensor:
    """Magnitude of every operation, without sign, in every bin, float64; in float32 steps, as torchvision's."""
    rows = [torch.linspace(0.0, _LARGEST.get(name, 0.0), BINS).double() for name in OPERATIONS]
    rows[OPERATIONS.index("solarize")] = 1 - torch.linspace(1.0, 0.0, BINS).double()
    return torch.stack(rows)
