"""Segmentation by segmentation_models_pytorch, as `smp:NAME` (extra `smp`): `smp:unet`, `smp:fpn`, `smp:segformer`, ...

An encoder of the library's or of timm, and a decoder upon it. Weights come from files only: of the whole network, or of
a classifier that is the encoder.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, field_validator

from fewer.core.messages import nearest
from fewer.models.base import ModelParams

if TYPE_CHECKING:
    from torch import Tensor, nn

TASK = "segment"
PREFIX = "smp:"
TRUNK = "encoder."
_OF_TIMM, _IN_TIMM = "tu-", "encoder.model."
_LISTED = re.compile(r"^_MODEL_ARCHITECTURES = \[(.*?)\]", re.MULTILINE | re.DOTALL)
_UNUSED = ("fc.", "classifier.", "head.", "conv_head.", "bn2.", "last_linear.")  # behind a classifier's features


class Params(ModelParams):
    name: str
    encoder: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$", max_length=100)] = "resnet18"
    """The network that gives the features: one of the library's, or `tu-NAME` for one of timm, such as
    `tu-mobilenetv3_small_100` or `tu-tf_efficientnet_lite0`."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in names():
            raise ValueError("not an architecture of segmentation_models_pytorch")
        return name

    @field_validator("encoder")
    @classmethod
    def _current(cls, encoder: str) -> str:
        if encoder.startswith("timm-"):
            raise ValueError(f'networks of timm begin with "tu-"; did you mean "tu-{encoder.removeprefix("timm-")}"?')
        return encoder


@cache
def names() -> list[str]:
    """The architectures, read from the library's file: importing it would take seconds."""
    spec = find_spec("segmentation_models_pytorch")
    if spec is None or spec.origin is None:
        return []
    listed = _LISTED.search(Path(spec.origin).read_text(encoding="utf-8"))
    return [f"{PREFIX}{name.lower()}" for name in re.findall(r"\w+", listed[1])] if listed else []


def build(params: Params, classes: int, side_px: int) -> nn.Module:
    from fewer.machine.imports import import_torchvision

    import_torchvision()
    import segmentation_models_pytorch as library

    from fewer.models.nets.pooled_norm import take_single_values

    own = library.encoders.get_encoder_names()
    if not params.encoder.startswith(_OF_TIMM) and params.encoder not in own:
        raise ValueError(f"has no encoder {params.encoder}; {nearest(params.encoder, own)}, or tu-NAME of timm")
    name = params.name.removeprefix(PREFIX)
    try:
        model: nn.Module = library.create_model(name, params.encoder, encoder_weights=None, classes=classes)
    except (RuntimeError, KeyError, TypeError, AttributeError) as error:
        text = " ".join(str(error).split())[:160]
        raise ValueError(f"does not take encoder {params.encoder} ({text}); set another model.encoder") from None
    take_single_values(model.get_submodule("decoder"))
    return model


def usual_moments(params: Params) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that images for a classifier's weights are normalised by: timm's, else ImageNet's."""
    import timm
    from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    name = params.encoder.removeprefix(_OF_TIMM)
    config = timm.get_pretrained_cfg(name, allow_unregistered=True) if name != params.encoder else None
    if config is None:
        return IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    return tuple(config.mean), tuple(config.std)


def adapted(tensors: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """A classifier's weights for the encoder, under the network's names."""
    from fewer.models.trunk import into_trunk

    encoder = [name for name in model.state_dict() if name.startswith(TRUNK)]
    inside = all(name.startswith(_IN_TIMM) for name in encoder)
    return into_trunk(tensors, model, _IN_TIMM if inside else TRUNK, _UNUSED)
