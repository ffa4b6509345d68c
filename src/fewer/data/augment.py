"""Random crop, flip and cutout of a whole batch at once, straight from the store.

Everything geometric is an index: for each sample which rows and which columns to read. So a batch costs one read of
the store, whatever is asked for, and a sample's pixels depend on (seed, epoch, id, copy) alone.

B: samples of the batch. H, W: rows and columns of the picture. M: rows of the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fewer import rng

Padding = Literal["zero", "reflect"]
Flip = Literal["no", "random", "alternating"]


@dataclass(frozen=True, slots=True)
class Key:
    """What the random numbers of a batch come from; see `fewer.rng`."""

    ids_B: Tensor
    seed: int
    epoch: int
    copy_B: Tensor | None = None

    def below(self, limit: int, purpose: str) -> Tensor:
        """A whole number in [0, limit) for each sample, int64."""
        draw_B = rng.uniform(self.ids_B, self.seed, purpose, self.epoch, copy_B=self.copy_B)
        return (draw_B * limit).long()


@dataclass(frozen=True, slots=True)
class Augment:
    """What training views differ by. Lengths are in pixels of an image at `reference_side_px`.

    Attributes:
        crop_padding_px: Pictures are shifted by up to this much either way, in each direction.
        padding: What comes in from outside: "zero" is black, as torchvision's RandomCrop pads; "reflect" mirrors,
            as airbench does.
        flip: "random" mirrors each view with probability 1/2. "alternating" does so in the first epoch and then
            shows either side in turn (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds", section 3.6).
        cutout_px: Side of a square that is blanked to the mean colour, i.e. to 0 after normalising. It lies wholly
            inside, as in airbench.
        reference_side_px: The side that lengths are stated for; at another side they scale. None: never scaled.
    """

    crop_padding_px: int = 0
    padding: Padding = "zero"
    flip: Flip = "no"
    cutout_px: int = 0
    reference_side_px: int | None = None

    def scaled(self, length_px: int, side_px: int, strength: float) -> int:
        """A length at another side and strength, in whole pixels."""
        reference_px = self.reference_side_px or side_px
        return int(length_px * strength * side_px / reference_px + 0.5)

    def apply(
        self, images_MHWC: Tensor, row_B: Tensor, key: Key, strength: float = 1.0
    ) -> tuple[Tensor, Tensor | None]:
        """Views of some rows of a store.

        Args:
            images_MHWC: The store, uint8, contiguous, square.
            row_B: Which rows, int64, on the store's device.
            key: What randomness comes from, on any device.
            strength: Scales padding and cutout; 0 is the image itself.

        Returns:
            uint8 (B, H, W, 3); and where cutout blanks, bool (B, H, W), or None without cutout.
        """
        side_px, device = images_MHWC.shape[1], images_MHWC.device
        padding_px = min(self.scaled(self.crop_padding_px, side_px, strength), side_px - 1)
        if strength == 0 or (padding_px == 0 and self.flip == "no"):
            views_BHWC = images_MHWC.index_select(0, row_B)
        else:
            ramp = torch.arange(side_px)
            y_BH = self._shifted(ramp, key, padding_px, "crop_y").to(device)
            x_BW = self._shifted(self._mirrored(ramp, key), key, padding_px, "crop_x").to(device)
            views_BHWC = _gathered(images_MHWC, row_B, y_BH, x_BW, self.padding)
        cut_px = min(self.scaled(self.cutout_px, side_px, strength), side_px)
        return views_BHWC, _square(side_px, cut_px, key).to(device) if cut_px else None

    def _mirrored(self, ramp: Tensor, key: Key) -> Tensor:
        """Column of the cropped picture that each column of each view shows, (B, W)."""
        if self.flip == "no":
            return ramp.expand(len(key.ids_B), -1)
        if self.flip == "random":
            flip_B = key.below(2, "flip") == 1
        else:  # the first side does not depend on the epoch
            first_B = rng.uniform(key.ids_B, key.seed, "flip", copy_B=key.copy_B) >= 0.5
            flip_B = first_B ^ bool(key.epoch % 2)
        return torch.where(flip_B[:, None], ramp.flip(0), ramp)

    def _shifted(self, place: Tensor, key: Key, padding_px: int, purpose: str) -> Tensor:
        """Places in the image, which may lie outside, for places in the cropped picture."""
        if padding_px == 0:
            return place.expand(len(key.ids_B), -1)
        return place + (key.below(2 * padding_px + 1, purpose) - padding_px)[:, None]


def _gathered(images_MHWC: Tensor, row_B: Tensor, y_BH: Tensor, x_BW: Tensor, padding: Padding) -> Tensor:
    """Pixel (y, x) of each sample's image for each pixel of its view.

    Whole rows first, then columns: on a CPU five times as fast as one three-index gather of 3-byte pixels.
    """
    (side, channels), batch = images_MHWC.shape[2:], len(row_B)
    inside_y_BH, y_BH = _inside(y_BH, side, padding)
    inside_x_BW, x_BW = _inside(x_BW, side, padding)
    lines = images_MHWC.view(-1, side * channels).index_select(0, (row_B[:, None] * side + y_BH).view(-1))
    byte_BW = (x_BW[:, :, None] * channels + torch.arange(channels, device=x_BW.device)).view(batch, 1, side * channels)
    views = lines.view(batch, side, side * channels).gather(2, byte_BW.expand(-1, side, -1))
    if inside_y_BH is not None and inside_x_BW is not None:
        views *= inside_y_BH[:, :, None]
        views *= inside_x_BW.repeat_interleave(channels, 1)[:, None, :]
    return views.view(batch, side, side, channels)


def _inside(place: Tensor, side: int, padding: Padding) -> tuple[Tensor | None, Tensor]:
    """Places brought into [0, side); for zero padding also whether they were, as uint8 0 or 1."""
    if padding == "reflect":  # about the middle of the outermost pixels, as numpy's and torch's "reflect"
        return None, (side - 1) - ((side - 1) - place.abs()).abs()
    inside = place.clamp(0, side - 1)
    return (inside == place).to(torch.uint8), inside


def _square(side_px: int, cut_px: int, key: Key) -> Tensor:
    """Where a square of `cut_px` lies, bool (B, H, W)."""
    ramp = torch.arange(side_px)
    top_B, left_B = (key.below(side_px - cut_px + 1, purpose) for purpose in ("cutout_y", "cutout_x"))
    y_BH, x_BW = ramp - top_B[:, None], ramp - left_B[:, None]
    y_BH, x_BW = (y_BH >= 0) & (y_BH < cut_px), (x_BW >= 0) & (x_BW < cut_px)
    return y_BH[:, :, None] & x_BW[:, None, :]
