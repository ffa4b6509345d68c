"""Data that every task exchanges: its surroundings, a published model's metadata, columns of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

if TYPE_CHECKING:
    import torch

CLASSES_MAX, _NAME_MAX = 100_000, 4096

_Name = Annotated[str, Field(max_length=_NAME_MAX, strict=True)]


@dataclass(frozen=True)
class TaskSetting:
    """The surroundings that a task is built for.

    Attributes:
        classes: Names of the classes.
        images_C: Training images of every class.
        label_smoothing: Share of the target spread over all classes.
        logit_scale: Factor between the cosines of a normalised head and its logits.
        autocast: Dtype of the forward's matrix products; None: that of the weights.
        aspect: Width / height of the frames that whole pictures are fitted to (`fewer.core.frame`); 1 for squares.
        pixels_C: Training pixels of every class, where the data are masks.
    """

    classes: tuple[str, ...]
    images_C: tuple[int, ...] = ()
    label_smoothing: float = 0.0
    logit_scale: float = 1.0
    autocast: torch.dtype | None = None
    aspect: float = 1.0
    pixels_C: tuple[int, ...] = ()


class TableColumn(NamedTuple):
    """A column of a table: its title, a text for each row, and whether the texts are numbers."""

    title: str
    cells: list[str]
    is_number: bool = True


class TaskMetadata(BaseModel):
    """`task` in `model.json`, which is untrusted: types and bounds are checked. Each task adds its own keys.

    Attributes:
        name: The task's name.
        classes: Names of what the model tells apart.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    name: _Name
    classes: Annotated[tuple[_Name, ...], Field(min_length=1, max_length=CLASSES_MAX)]

    @model_validator(mode="before")
    @classmethod
    def _of_old_files(cls, data: object) -> object:
        """Where new files say `tta = "flip"`, old ones say `flip_tta = true`."""
        if not isinstance(data, dict) or "flip_tta" not in data or "tta" in data:
            return data
        flips = data["flip_tta"]
        return {**data, "tta": ("flip" if flips else "none") if isinstance(flips, bool) else flips}

    @field_validator("classes")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("two classes of one name")
        return value
