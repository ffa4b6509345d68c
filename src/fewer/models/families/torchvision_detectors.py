"""torchvision's own detectors by their names: `fasterrcnn_resnet50_fpn`, `retinanet_resnet50_fpn_v2`, ...

Built as torchvision builds them, with images of the plan's side in place of an inner resizing. They were made for
pictures of 800 px (`ssdlite320_mobilenet_v3_large`: 320); smaller ones with fewer weights are `fcos_mobilenet_v2` and
its like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from fewer.models.base import ModelParams
from fewer.models.families import detectors

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.models.hub import Published
    from fewer.models.nets.detection.detector import Detector

TASK, TRUNK = "detect", "backbone.body."
_NAMES = (
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fcos_resnet50_fpn",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "ssd300_vgg16",
    "ssdlite320_mobilenet_v3_large",
)


class Params(ModelParams):
    name: str
    norms: Literal["batch", "frozen"] = "batch"
    """`frozen`: the trunk's BatchNorm keeps the statistics and factors of `weights`, as for batches of a few images."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in _NAMES:
            raise ValueError("not a detector of torchvision")
        return name

    def conflicts(self, epochs: int) -> dict[str, str]:
        return detectors.detector_conflicts(self)


def names() -> list[str]:
    return list(_NAMES)


def build(params: Params, classes: int, side_px: int) -> Detector:
    from fewer.models.nets.detection.build import taken_over
    from fewer.models.nets.detection.trunks import with_frozen_norms

    model = taken_over(_theirs(params.name, classes), classes)
    if params.norms == "frozen":
        with_frozen_norms(model.backbone)
    return model


def _theirs(name: str, classes: int) -> Any:
    from fewer.machine.imports import import_torchvision

    import_torchvision()
    from torchvision.models import get_model

    has_background = name.startswith(("fasterrcnn", "ssd"))
    return get_model(name, weights=None, weights_backbone=None, num_classes=classes + has_background)


def published(params: Params) -> Published:
    """The weights that torchvision calls the default ones, trained on COCO; the layer of the classes is replaced."""
    from pathlib import PurePosixPath

    from torchvision.models import get_model_weights

    from fewer.models.hub import Published, downloaded

    url = get_model_weights(params.name).DEFAULT.url
    name = PurePosixPath(url).name
    file = downloaded(url, name, hash_prefix=PurePosixPath(name).stem.rpartition("-")[2])
    return Published(file, *usual_moments(params))


def usual_moments(params: Params) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that torchvision's inner transform normalises images by."""
    from fewer.models.skeleton import skeleton

    with skeleton():
        transform = _theirs(params.name, 1).transform
    return tuple(transform.image_mean), tuple(transform.image_std)


def adapted(tensors: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """A classifier's weights under the names of the trunk; those of a detector as they are."""
    return detectors.adapted(tensors, model)
