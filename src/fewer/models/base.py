"""The keys that every model has."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from fewer.fields import Section, Share


def _path_or_word(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError('give "none", "default", a file, or a run folder')
    return text


Width = Annotated[float, Field(gt=0, le=8, strict=True)]
Rate = Annotated[Share, Field(lt=1)]


class ModelParams(Section):
    """`[model]`: the keys that every model has."""

    name: str
    """A model of this package, a torchvision classifier such as `resnet18`, or `timm:NAME` (extra `timm`)."""
    weights: Annotated[str, AfterValidator(_path_or_word)] = "none"
    """First weights: `none` (random), a `.safetensors`, `.pt`, `.pth` or `.bin` file of named tensors, a run folder
    (its best model), or `default` (those that torchvision or timm publish). A head of another size is replaced.
    A path is relative to the recipe's own folder."""

    @property
    def first_images(self) -> int:
        """How many training images the model is shown before it is trained."""
        return 0
