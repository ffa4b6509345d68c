"""The operations of TrivialAugment and RandAugment, one for each view of a batch, at a magnitude of its own.

They are those of torchvision's TrivialAugmentWide and RandAugment. Geometric operations become part of the view's one
resampling, before those of colour.

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

BINS = 31
OPERATIONS = (
    *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast"),
    *("sharpness", "posterize", "solarize", "autocontrast", "equalize"),
)
UNSIGNED = ("posterize", "solarize")
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
class Operations:
    """An operation's number for each sample of a batch, and its magnitude.

    Attributes:
        operation_B: Places in `OPERATIONS`.
        magnitude_B: Degrees, pixels, bits dropped, shares of the levels, or distances of a factor from 1; float64.
    """

    operation_B: Tensor
    magnitude_B: Tensor

    @classmethod
    def signed(cls, operation_B: Tensor, magnitude_B: Tensor, is_negative_B: Tensor) -> Operations:
        """Magnitudes given without sign; operations that have one take it from `is_negative_B`."""
        has_sign_B = torch.tensor([name not in UNSIGNED for name in OPERATIONS])[operation_B]
        return cls(operation_B, torch.where(has_sign_B & is_negative_B, -magnitude_B, magnitude_B))

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
