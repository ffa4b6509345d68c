"""The metadata of a published classifier."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fewer.core.metadata import CLASSES_MAX, TaskMetadata
from fewer.tasks.classify.tta import Tta

_Images = Annotated[int, Field(ge=0, lt=2**40, strict=True)]

Confidence = Annotated[float, Field(gt=0, le=1, strict=True)]

EVALUATION_KEYS = ("tta", "tta_below")


class Metadata(TaskMetadata):
    """`task` in `model.json` of a classifier.

    Attributes:
        train_images_per_class: How many images of each class it was trained on; empty in old files.
        tta, tta_below: Which views of an image evaluation took the mean over, and of which images; see
            `fewer.tasks.classify.tta.Views`.
    """

    name: Literal["classify"] = "classify"
    train_images_per_class: Annotated[tuple[_Images, ...], Field(max_length=CLASSES_MAX)] = ()
    tta: Tta = "none"
    tta_below: Confidence = 1.0

    @model_validator(mode="after")
    def _one_a_class(self) -> Self:
        if self.train_images_per_class and len(self.train_images_per_class) != len(self.classes):
            raise ValueError("train_images_per_class: not one number a class")
        return self
