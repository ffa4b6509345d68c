"""The metadata of a published segmentation model."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fewer.core.drawing.palette import MASK_CLASSES_MAX
from fewer.core.metadata import TaskMetadata

_Pixels = Annotated[int, Field(ge=0, lt=2**50, strict=True)]

EVALUATION_KEYS = ("tta",)
Tta = Literal["none", "flip"]


class Metadata(TaskMetadata):
    """`task` in `model.json` of a segmentation model.

    Attributes:
        train_pixels_per_class: How many pixels of each class it was trained on; empty where not known.
        tta: Whether evaluation took the mean over each image and its mirror image.
    """

    name: Literal["segment"] = "segment"
    train_pixels_per_class: Annotated[tuple[_Pixels, ...], Field(max_length=MASK_CLASSES_MAX)] = ()
    tta: Tta = "none"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.classes) > MASK_CLASSES_MAX:
            raise ValueError(f"{len(self.classes)} classes; a mask has room for {MASK_CLASSES_MAX}")
        if self.train_pixels_per_class and len(self.train_pixels_per_class) != len(self.classes):
            raise ValueError("train_pixels_per_class: not one number a class")
        return self
