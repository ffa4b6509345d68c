"""The `[augment]` section of a recipe: views of the training images, and how they are mixed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from fewer.core.clock import Duration
from fewer.core.config import Bounds, Factor, Flag, Index, Jitter, NonNegative, Section, Share, Span, ascending


def _strength(value: object) -> object:
    numbers: list[Any] = list(value) if isinstance(value, list | tuple) and len(value) == 2 else [value]
    if not all(type(number) in (int, float) and 0 <= number <= 1 for number in numbers):
        raise ValueError("a number from 0 to 1, or two: [0.3, 1] begins a stage at 0.3 and ends it at 1")
    return tuple(map(float, numbers)) if len(numbers) == 2 else value


Strength = Annotated[float | tuple[float, float], BeforeValidator(_strength)]


class AugmentRecipe(Section):
    """`[augment]`: random views of the training images, drawn on the device a batch at a time."""

    crop: Literal["shift", "random_resized"] = "shift"
    """`shift`: the centre square, padded and cropped. `random_resized`: a part of random area and shape, resized."""
    crop_scale: Bounds = (0.08, 1.0)
    """`random_resized`: smallest and largest share of the image's area."""
    crop_ratio: Bounds = (0.75, 1.3333)
    """`random_resized`: smallest and largest width / height."""
    crop_padding_px: Index = 0
    """Random crop of the image padded by this much on each side, at the largest side of the plan."""
    padding: Literal["zero", "reflect", "mean"] = "zero"
    """What comes in from outside the image, for all keys that move it: black, its mirror image, or its mean colour."""
    flip: Literal["no", "random", "alternating"] = "no"
    """Left-right flips: drawn for each view, or drawn once and then alternating from epoch to epoch."""
    cutout_px: Index = 0
    """Side of a square that is blanked at a random place, at the largest side of the plan."""
    rotation_deg: Annotated[float, Field(ge=0, le=180, strict=True)] = 0.0
    """Rotation by up to this much either way."""
    translate: Share = 0.0
    """Shift by up to this share of the side, each way, in whole pixels."""
    scale: Annotated[tuple[Factor, Factor], AfterValidator(ascending)] = (1.0, 1.0)
    """Zoom by a factor between these two; above 1 enlarges what is seen."""
    shear_deg: Annotated[float, Field(ge=0, le=80, strict=True)] = 0.0
    """Shear along x by up to this angle either way."""
    perspective: Share = 0.0
    """Each corner drawn inwards by up to this share of half a side, as torchvision's `distortion_scale`."""
    perspective_share: Share = 0.5
    """Share of the views that `perspective` changes."""
    brightness: Jitter = 0.0
    """Factor on all levels between 1 less this (at least 0) and 1 plus this. These four in a random order."""
    contrast: Jitter = 0.0
    """Likewise, on the distance from the image's mean grey level."""
    saturation: Jitter = 0.0
    """Likewise, on the distance from each pixel's grey level."""
    hue: Annotated[float, Field(ge=0, le=0.5, strict=True)] = 0.0
    """Turn of the colour circle by up to this share of it either way."""
    trivial_augment: Flag = False
    """One operation of TrivialAugment (wide) for each view, at a random magnitude."""
    rand_augment: Annotated[int, Field(ge=0, le=10, strict=True)] = 0
    """So many random operations of RandAugment for each view, all at one magnitude; 2 is usual, 0 is none."""
    rand_augment_magnitude: Annotated[int, Field(ge=0, le=30, strict=True)] = 9
    """`rand_augment`: the magnitude, from 0 to 30."""
    erasing_share: Share = 0.0
    """Share of the views that lose a random rectangle (random erasing), which is blanked as by `cutout_px`."""
    erasing_scale: Bounds = (0.02, 0.33)
    """`erasing_share`: smallest and largest share of the view's area."""
    erasing_ratio: Bounds = (0.3, 3.3)
    """`erasing_share`: smallest and largest height / width."""
    mixup_alpha: NonNegative = 0.0
    """Mixup: images and labels of a batch blended in pairs, by a share drawn from Beta(alpha, alpha); 0: none."""
    cutmix_alpha: NonNegative = 0.0
    """CutMix: a box of each image replaced by its partner's, of a share of the area drawn likewise; 0: none."""
    mosaic: Share = 0.0
    """Of boxes and masks: share of the batches whose images become mosaics, each of four images at half their size."""
    copy_paste: Share = 0.0
    """Of boxes and masks: share of the other batches in which half of the objects of an image's neighbour are laid over
    it: what is in their boxes, or the pixels of half of its classes."""
    mix_share: Share = 1.0
    """Share of the batches that are mixed by mixup or CutMix."""
    cutmix_share: Share = 0.5
    """Share of the mixed batches that are mixed by CutMix, where both have an alpha."""
    mix_until: Span = Duration(100, "%")
    """No batch is mixed after this part of the run; "90%" leaves the last tenth to the images as they are."""

    @property
    def mixes(self) -> bool:
        """Whether any batch may be mixed."""
        return self.blends or bool((self.mosaic or self.copy_paste) and self.mix_until.value)

    @property
    def blends(self) -> bool:
        """Whether any batch may be mixed by mixup or CutMix, whose images have two classes."""
        return bool((self.mixup_alpha or self.cutmix_alpha) and self.mix_share and self.mix_until.value)

    def conflicts(self, epochs: int) -> dict[str, str]:
        found: dict[str, str] = {}
        if not self.rand_augment:
            reason = "has no effect with augment.rand_augment = 0; leave it out, or set augment.rand_augment = 2"
            found |= self.changed(["rand_augment_magnitude"], reason)
        if not self.erasing_share:
            reason = "has no effect with augment.erasing_share = 0; leave it out, or set augment.erasing_share = 0.25"
            found |= self.changed(["erasing_scale", "erasing_ratio"], reason)
        if not (self.mixup_alpha or self.cutmix_alpha):
            reason = (
                "has no effect without augment.mixup_alpha or augment.cutmix_alpha; leave it out, or set one of them"
            )
            found |= self.changed(["mix_share", "cutmix_share"], reason)
            if not (self.mosaic or self.copy_paste):
                found |= self.changed(["mix_until"], reason)
        elif not (self.mixup_alpha and self.cutmix_alpha):
            reason = "chooses between mixup and CutMix, and only one of them has an alpha; leave it out"
            found |= self.changed(["cutmix_share"], reason)
        return found
