"""`data.normalize`: a word, or the mean and standard deviation of each channel as numbers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from fewer.core.config import Section

_CHANNELS = ("red", "green", "blue")  # grey images are read as three equal channels


def _channels(value: object) -> object:
    if isinstance(value, list | tuple) and len(value) != len(_CHANNELS):
        raise ValueError(f"{len(value)} numbers for {len(_CHANNELS)} channels; give one each of {', '.join(_CHANNELS)}")
    return value


def _level(value: object) -> object:
    if isinstance(value, int | float) and 1 < value < 256:
        raise ValueError(f"white is 1 here, not 255; divide by 255, e.g. {value / 255:.3f}")
    return value


Level = Annotated[float, BeforeValidator(_level), Field(ge=0, le=1, strict=True)]
Spread = Annotated[float, BeforeValidator(_level), Field(gt=0, le=1, strict=True)]


class NormalizeRecipe(Section):
    """`[data.normalize]`: the numbers that images are normalised by: red, green and blue; white is 1."""

    mean: Annotated[tuple[Level, Level, Level], BeforeValidator(_channels)]
    """Mean of each channel, e.g. `[0.485, 0.456, 0.406]`."""
    std: Annotated[tuple[Spread, Spread, Spread], BeforeValidator(_channels)]
    """Standard deviation of each channel, e.g. `[0.229, 0.224, 0.225]`."""


def _branch(value: object) -> str:
    return "branch:numbers" if isinstance(value, dict | NormalizeRecipe) else "branch:word"


# The tags let a problem be told of the branch that was meant.
Normalize = Annotated[
    Annotated[Literal["auto", "dataset", "imagenet"], Tag("branch:word")]
    | Annotated[NormalizeRecipe, Tag("branch:numbers")],
    Discriminator(_branch),
]
