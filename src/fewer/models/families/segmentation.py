"""Segmentation by torchvision's networks: `fcn_resnet50`, `deeplabv3_mobilenet_v2`, `lraspp_mobilenet_v2`, ...

A fully convolutional net (Long et al. 2015), DeepLabV3 (Chen et al. 2017) or LR-ASPP (Howard et al. 2019) upon
ResNet-50 or ResNet-101, of stride 8, MobileNetV3 or MobileNetV2, of stride 16. Those on MobileNetV2 are for processors.
Weights of the backbone alone, as classifiers have them, will do for a start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from fewer.core.config import Flag
from fewer.models.base import ModelParams

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.models.hub import Published
    from fewer.models.nets.segmentation import Design

TASK = "segment"
TRUNK = "backbone."
_BACKBONES: dict[Design, tuple[str, ...]] = {
    "fcn": ("resnet50", "resnet101"),
    "deeplabv3": ("resnet50", "resnet101", "mobilenet_v3_large", "mobilenet_v2"),
    "lraspp": ("mobilenet_v3_large", "mobilenet_v2"),
}
_MODELS = {f"{design}_{backbone}": (design, backbone) for design, found in _BACKBONES.items() for backbone in found}
_UNUSED = ("fc.", "classifier.", "18.")  # a classifier's head, and MobileNetV2's filters before it


class Params(ModelParams):
    name: str
    aux_head: Flag | None = None
    """A second head, on the features before the last stage, whose loss is added in training with `task.aux_weight`
    (Zhao et al. 2017); left out: `fcn_*` and `deeplabv3_*` have one. `lraspp_*` has none."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in _MODELS:
            raise ValueError("not a segmentation network of torchvision")
        return name


def names() -> list[str]:
    return list(_MODELS)


def build(params: Params, classes: int, side_px: int) -> nn.Module:
    from fewer.machine.imports import import_torchvision

    import_torchvision()
    from fewer.models.nets import segmentation

    design, backbone = _MODELS[params.name]
    if params.aux_head and design == "lraspp":
        raise ValueError("has no auxiliary head; leave model.aux_head out")
    return segmentation.build(design, backbone, classes, design != "lraspp" and params.aux_head is not False)


def published(params: Params) -> Published:
    """torchvision's own weights: of the whole network where it publishes such, else of the backbone."""
    from fewer.models.hub import Published, downloaded_of_torchvision

    return Published(downloaded_of_torchvision(_of_torchvision(params).url), *usual_moments(params))


def usual_moments(params: Params) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that images for torchvision's weights of a net are normalised by."""
    transform = _of_torchvision(params).transforms()
    return tuple(transform.mean), tuple(transform.std)


def adapted(tensors: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """torchvision's weights of a whole network, or a classifier's for the backbone, under the network's names."""
    from fewer.models.nets.segmentation import renamed
    from fewer.models.trunk import into_trunk

    if any(name.startswith(TRUNK) for name in tensors):
        return {renamed(name): tensor for name, tensor in tensors.items()}
    return into_trunk(tensors, model, TRUNK, _UNUSED)


def _of_torchvision(params: Params) -> Any:
    from torchvision.models import get_model_weights

    backbone = _MODELS[params.name][1]
    found: Any = get_model_weights(backbone if backbone == "mobilenet_v2" else params.name)
    return found.DEFAULT
