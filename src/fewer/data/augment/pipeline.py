"""The augmentation pipeline: what training views differ by, in the order of application.

B: samples of the batch. H, W: rows and columns of the picture. M: rows of the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from fewer.data.augment import colour, geometry, rand_augment, trivial
from fewer.data.augment.chunks import chunked
from fewer.data.augment.cutout import square
from fewer.data.augment.erasing import Erasing
from fewer.data.augment.key import Key
from fewer.data.augment.operations import Operations
from fewer.data.augment.shift import Flip, Padding, flips, shifts
from fewer.data.augment.view import Crops, View


class Augmented(NamedTuple):
    """Views of a batch: uint8 (B, H, W, 3), contiguous; where these are blanked, bool (B, H, W); their geometry."""

    views_BHWC: Tensor
    blank_BHW: Tensor | None
    view: View


@dataclass(frozen=True, slots=True)
class Augment:
    """What training views differ by. Lengths are in pixels of an image at `reference_side_px`.

    Attributes:
        crop_padding_px: Pictures are shifted by up to this much either way, in each direction.
        padding: What comes in from outside, here and in all that follows: "zero" is black, as in torchvision's
            RandomCrop; "reflect" mirrors, as airbench does; "mean" is the image's own mean colour.
        flip: "random" mirrors each view with probability 1/2. "alternating" does so in the first epoch and then
            shows either side in turn (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds", section 3.6).
        cutout_px: Side of a square that is blanked to the mean colour, i.e. to 0 after normalising. It lies wholly
            inside, as in airbench.
        reference_side_px: The side that lengths are stated for; at another side they scale. None: never scaled.
        rotation_deg: Views are rotated about the middle by up to this much either way.
        translate: They are moved by up to this share of the side, in each direction, in whole pixels.
        scale: They are enlarged by a factor between these two.
        shear_deg: They are sheared along x by up to this angle either way.
        perspective: Corners are drawn inwards by up to this share of half a side, in each direction.
        perspective_share: The share of views that this is done to.
        brightness, contrast, saturation: A factor between 1 less this, but at least 0, and 1 plus this.
        hue: The colour circle is turned by up to this share either way. The four of them come in a random order.
        trivial_augment: One operation of TrivialAugment (wide) a view.
        rand_augment: So many operations of RandAugment a view.
        rand_augment_magnitude: Their level, in [0, 30].
        erasing_share: The share of views that lose a rectangle, blanked as by cutout.
        erasing_scale: Bounds of its area, as a share of the view's; strength scales them.
        erasing_ratio: Bounds of its height / width.
    """

    crop_padding_px: int = 0
    padding: Padding = "zero"
    flip: Flip = "no"
    cutout_px: int = 0
    reference_side_px: int | None = None
    rotation_deg: float = 0.0
    translate: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shear_deg: float = 0.0
    perspective: float = 0.0
    perspective_share: float = 0.5
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    trivial_augment: bool = False
    rand_augment: int = 0
    rand_augment_magnitude: int = 9
    erasing_share: float = 0.0
    erasing_scale: tuple[float, float] = (0.02, 0.33)
    erasing_ratio: tuple[float, float] = (0.3, 3.3)

    def scaled(self, length_px: int, side_px: int, strength: float) -> int:
        """A length at another side and strength, in whole pixels."""
        reference_px = self.reference_side_px or side_px
        return int(length_px * strength * side_px / reference_px + 0.5)

    def view(self, key: Key, side_px: int, strength: float = 1.0, crops: Crops | None = None) -> View:
        """The geometry of a batch's views: a pure function of key, side and strength.

        Args:
            key: What randomness comes from, on any device.
            side_px: Side of the views.
            strength: Scales every magnitude; at 0 views are the squares themselves.
            crops: Where the squares were cut from, for masks and boxes.
        """
        return self._drawn(key, side_px, strength, crops)[0]

    def apply(
        self, squares_MHWC: Tensor, row_B: Tensor, key: Key, strength: float = 1.0, crops: Crops | None = None
    ) -> Augmented:
        """Views of some rows of a store.

        Args:
            squares_MHWC: The store, uint8, contiguous, square.
            row_B: Which rows, int64, on the store's device.
            key: What randomness comes from, on any device.
            strength: Scales every magnitude; 0 is the image itself. What has none, such as a flip, stays.
            crops: As for `view`.
        """
        side_px, device = squares_MHWC.shape[1], squares_MHWC.device
        view, operations = self._drawn(key, side_px, strength, crops)
        views_BHWC = view.of_squares(squares_MHWC, row_B, self.padding)
        if strength == 0:
            return Augmented(views_BHWC, None, view)
        views_BHWC = self._jittered(views_BHWC, key, strength)
        for each in operations:
            views_BHWC = each.coloured(views_BHWC)
        blank_BHW = self._blank(key, side_px, strength)
        return Augmented(views_BHWC, None if blank_BHW is None else blank_BHW.to(device), view)

    def _drawn(self, key: Key, side_px: int, strength: float, crops: Crops | None) -> tuple[View, list[Operations]]:
        """The geometry of a batch, and the operations of TrivialAugment and RandAugment; some are part of it."""
        if strength == 0:
            return View(len(key), side_px, crops=crops), []
        operations, maps = [], [self._affine(key, side_px, strength), self._perspective(key, side_px, strength)]
        if self.trivial_augment:
            operations.append(trivial.drawn(key, strength))
            maps.append(operations[0].map(side_px, side_px / (self.reference_side_px or side_px)))
        if self.rand_augment:
            drawn = rand_augment.drawn(key, self.rand_augment, self.rand_augment_magnitude, side_px, strength)
            operations += drawn
            maps += [each.map(side_px, 1.0) for each in drawn]
        view = View(
            len(key),
            side_px,
            shifts(min(self.scaled(self.crop_padding_px, side_px, strength), side_px - 1), key),
            flips(self.flip, key),
            tuple(map_B33 for map_B33 in maps if map_B33 is not None),
            crops,
        )
        return view, operations

    def _blank(self, key: Key, side_px: int, strength: float) -> Tensor | None:
        """Where views are blanked, by cutout and by random erasing."""
        cut_px = min(self.scaled(self.cutout_px, side_px, strength), side_px)
        cut_BHW = square(side_px, cut_px, key).cpu() if cut_px else None
        erased_BHW = Erasing(self.erasing_share, self.erasing_scale, self.erasing_ratio).blank(key, side_px, strength)
        if cut_BHW is None or erased_BHW is None:
            return erased_BHW if cut_BHW is None else cut_BHW
        return cut_BHW | erased_BHW

    def _affine(self, key: Key, side_px: int, strength: float) -> Tensor | None:
        if not (self.rotation_deg or self.translate or self.shear_deg or self.scale != (1.0, 1.0)):
            return None
        reach_px = self.translate * strength * side_px
        low, high = (1 + strength * (factor - 1) for factor in self.scale)
        return geometry.affine(
            _either_way(self.rotation_deg * strength, key, "rotation"),
            (_either_way(reach_px, key, "translate_x") + 0.5).floor(),
            (_either_way(reach_px, key, "translate_y") + 0.5).floor(),
            key.uniform("scale", low, high),
            _either_way(self.shear_deg * strength, key, "shear"),
        )

    def _perspective(self, key: Key, side_px: int, strength: float) -> Tensor | None:
        if not (self.perspective and self.perspective_share):
            return None
        corner_42 = torch.tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64) * ((side_px - 1) / 2)
        inward = [key.uniform(f"perspective_{number}", 0.0, self.perspective * strength) for number in range(8)]
        drawn_B33 = geometry.perspective(corner_42 * (1 - torch.stack(inward, 1).view(-1, 4, 2)), side_px)
        chosen_B = key.uniform("perspective") < self.perspective_share
        return torch.where(chosen_B[:, None, None], drawn_B33, geometry.identity(len(key)))

    def _jittered(self, views_BHWC: Tensor, key: Key, strength: float) -> Tensor:
        factors: dict[colour.Jitter, Tensor] = {}
        for name in colour.JITTER:
            reach = getattr(self, name) * strength
            if reach:
                middle = 0.0 if name == "hue" else 1.0
                low = -reach if name == "hue" else max(0.0, 1 - reach)
                factors[name] = key.uniform(name, low, middle + reach)
        if not factors or not len(key):
            return views_BHWC
        factor_BK = torch.stack(list(factors.values()), 1)
        order_BK = torch.stack([key.uniform(f"{name}_order") for name in factors], 1).argsort(dim=1)
        return chunked(partial(colour.jittered, tuple(factors)), views_BHWC, factor_BK, order_BK)


def _either_way(limit: float, key: Key, purpose: str) -> Tensor:
    return key.uniform(purpose, -limit, limit)
