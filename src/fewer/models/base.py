"""The keys that every model has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from fewer.core.config import Positive, Section, Share
from fewer.core.registry import Registry
from fewer.models.registry import MODELS


def _path_or_word(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError('give "none", "default", a file, or a run folder')
    return text


HEAD_SCALE = 30.0  # Cao et al. 2019
Width = Annotated[float, Field(gt=0, le=8, strict=True)]
Rate = Annotated[Share, Field(lt=1)]


class ModelParams(Section):
    """`[model]`: the keys that every model has."""

    named_parts: ClassVar[Mapping[str, Registry]] = {"name": MODELS}

    name: str
    """A model of this package, a torchvision classifier such as `resnet18`, `timm:NAME` (extra `timm`),
    `smp:NAME` for masks (extra `smp`), or a detector such as `fcos_mobilenet_v2`."""
    weights: Annotated[str, AfterValidator(_path_or_word)] = "none"
    """First weights: `none` (random), a `.safetensors`, `.pt`, `.pth` or `.bin` file of named tensors, a run folder
    (its best model), or `default` (those that torchvision or timm publish). A head of another size is replaced."""

    head: Literal["linear", "normalized"] = "linear"
    """The last layer: as the model has it, or, in its place, cosines between features and a direction for each class,
    times `head_scale` (Wang et al. 2018), which `task.loss = "ldam"` needs."""
    head_scale: Positive | None = None
    """`normalized`: factor between cosines and logits; left out: 30."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        if self.head_scale is not None and self.head != "normalized":
            text = f'has no effect with model.head = "{self.head}"; leave it out, or set model.head = "normalized"'
            return {"head_scale": text}
        return {}

    @property
    def logit_scale_of_head(self) -> float:
        """Factor between a normalised head's cosines and its logits."""
        return self.head_scale or HEAD_SCALE

    @property
    def first_images(self) -> int:
        """How many training images the model is shown before it is trained."""
        return 0
