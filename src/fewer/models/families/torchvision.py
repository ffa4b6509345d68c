"""Any classifier of torchvision by its name: `resnet18`, `mobilenet_v3_small`, `efficientnet_b0`, `vit_b_16`, ...

Built as torchvision builds it, without auxiliary heads; transformers are built for the plan's largest side. The nets
were made for 224 px: a small image leaves their first layers as a few pixels, unless `stem = "small"`.
"""

from __future__ import annotations

from functools import cache
from math import isqrt
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from fewer.models.base import ModelParams, Rate
from fewer.models.listing import registered

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.models.hub import Published

_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")
_SIDE_KEYS = {"vit": "image_size", "maxvit": "input_size"}


class Params(ModelParams):
    name: str
    stem: Literal["own", "small"] = "own"
    """`small`: first layers for small images. The first strided convolution gets stride 1 and a kernel of at most
    3x3, and a max-pooling that follows is left out."""
    dropout: Rate | None = None
    """Share of the last features that is dropped in training; left out: the model's own."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in names():
            raise ValueError("not a classifier of torchvision")
        return name


@cache
def names() -> list[str]:
    return registered("torchvision")


def build(params: Params, classes: int, side_px: int) -> nn.Module:
    from fewer.machine.imports import import_torchvision

    import_torchvision()
    from torchvision.models import get_model

    from fewer.models.stem import small_stem

    options: dict[str, Any] = {"num_classes": classes}
    if params.name in _WITH_AUXILIARY_HEADS:
        options |= {"aux_logits": False, "init_weights": True}
    side_key = _SIDE_KEYS.get(params.name.partition("_")[0])
    if side_key:
        options[side_key] = side_px if side_key == "image_size" else (side_px, side_px)
    if params.dropout is not None:
        options["drop_rate" if params.name.startswith("densenet") else "dropout"] = params.dropout
    try:
        model: nn.Module = get_model(params.name, weights=None, **options)
    except TypeError as error:
        if "dropout" not in str(error):
            raise
        raise ValueError("has no dropout; leave model.dropout out") from None
    return small_stem(model, side_px) if params.stem == "small" else model


def published(params: Params) -> Published:
    """The weights that torchvision calls the default ones, and the statistics that their images were normalised by."""
    from torchvision.models import get_model_weights

    from fewer.models.hub import Published, downloaded_of_torchvision

    default: Any = get_model_weights(params.name).DEFAULT
    return Published(downloaded_of_torchvision(default.url), *usual_moments(params))


def usual_moments(params: Params) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that images for torchvision's weights of a net are normalised by."""
    from torchvision.models import get_model_weights

    if params.name in _WITH_AUXILIARY_HEADS:
        # Their published form takes ImageNet's statistics and turns them into these in the forward.
        return (0.5,) * 3, (0.5,) * 3
    default: Any = get_model_weights(params.name).DEFAULT
    transform = default.transforms()
    return tuple(transform.mean), tuple(transform.std)


def adapted(tensors: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Position embeddings of a vision transformer, interpolated to the model's own image side."""
    from torchvision.models import VisionTransformer
    from torchvision.models.vision_transformer import interpolate_embeddings

    name = "encoder.pos_embedding"
    if not isinstance(model, VisionTransformer) or name not in tensors:
        return tensors
    theirs, ours = tensors[name].shape, model.encoder.pos_embedding.shape
    if theirs == ours or len(theirs) != 3 or theirs[::2] != ours[::2] or isqrt(theirs[1] - 1) ** 2 != theirs[1] - 1:
        return tensors
    return dict(interpolate_embeddings(model.image_size, model.patch_size, dict(tensors)))
