"""Small detectors on torchvision's layers: `fcos_mobilenet_v2`, `retinanet_resnet18`, `fasterrcnn_mobilenet_v2`, ...

A name is an architecture and a trunk. Architectures: `fcos`, `retinanet`, `fasterrcnn`, `ssdlite`. Trunks:
`mobilenet_v2`, `mobilenet_v3_small`, `mobilenet_v3_large`, `resnet18`, `resnet34`, `resnet50`. Features have strides 8
to 128 (Faster R-CNN: to 64), for pictures of some hundred pixels. `weights` may be a file of torchvision's classifier
of the trunk's name, or of a detector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from fewer.core.config import Positive
from fewer.models.base import ModelParams

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.models.hub import Published
    from fewer.models.nets.detection.detector import Detector

TASK, TRUNK = "detect", "backbone.body."
EXAMPLES = [
    {"name": "fcos_mobilenet_v3_small", "channels": 32, "head_convs": 1},
    {"name": "retinanet_resnet18", "channels": 32, "head_convs": 1},
    {"name": "fasterrcnn_mobilenet_v3_small", "channels": 32},
    {"name": "ssdlite_mobilenet_v3_small"},
]
_ARCHITECTURES = ("fcos", "retinanet", "fasterrcnn", "ssdlite")
_TRUNKS = ("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "resnet18", "resnet34", "resnet50")


class Params(ModelParams):
    name: str
    channels: Annotated[int, Field(ge=32, le=512, multiple_of=32, strict=True)] = 128
    """Channels of every level of the feature pyramid; SSDlite has none."""
    head_convs: Annotated[int, Field(ge=1, le=4, strict=True)] = 2
    """`fcos`, `retinanet`: convolutions before either output; the publications have 4."""
    anchor_px: Annotated[tuple[Positive, ...], Field(min_length=4, max_length=5)] | None = None
    """`retinanet` (5 sizes), `fasterrcnn` (4): side of a square of the area of each level's anchors, in pixels of the
    training images; RetinaNet's are the smallest of three. Left out: 3 times the stride: 24, 48, 96, ..."""
    norms: Literal["batch", "frozen"] = "batch"
    """`frozen`: the trunk's BatchNorm keeps the statistics and factors of `weights`, as for batches of a few images."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in names():
            raise ValueError("not a detector of this package")
        return name

    def conflicts(self, epochs: int) -> dict[str, str]:
        found = detector_conflicts(self)
        architecture = self.name.partition("_")[0]
        if architecture == "ssdlite":
            found |= self.changed(["channels"], "has no effect: SSDlite has no feature pyramid; leave it out")
        if architecture not in ("fcos", "retinanet"):
            found |= self.changed(["head_convs"], f'has no effect with model.name = "{self.name}"; leave it out')
        levels = {"retinanet": 5, "fasterrcnn": 4}.get(architecture)
        if self.anchor_px is not None and len(self.anchor_px) != levels:
            takes = f"takes {levels} sizes, one a level" if levels else "has no anchors of fixed size; leave it out"
            found["anchor_px"] = f'model.name = "{self.name}" {takes}'
        return found


def detector_conflicts(params: ModelParams) -> dict[str, str]:
    """Keys that no detector can be built with, as `conflicts`."""
    found = {}
    if params.head != "linear":
        found["head"] = 'belongs to classifiers; leave it out, or set model.head = "linear"'
    if getattr(params, "norms", "batch") == "frozen" and params.weights == "none":
        found["norms"] = 'keeps statistics that random weights do not have; give model.weights, or set "batch"'
    return found


def names() -> list[str]:
    return [f"{architecture}_{trunk}" for architecture in _ARCHITECTURES for trunk in _TRUNKS]


def build(params: Params, classes: int, side_px: int) -> Detector:
    from fewer.machine.imports import import_torchvision

    import_torchvision()
    from fewer.models.nets.detection import build as detectors
    from fewer.models.nets.detection.trunks import with_frozen_norms

    architecture, _, trunk = params.name.partition("_")
    if architecture == "ssdlite":
        model: Detector = detectors.ssdlite(trunk, classes)
    elif architecture == "fasterrcnn":
        model = detectors.faster_rcnn(trunk, classes, params.channels, params.anchor_px)
    elif architecture == "retinanet":
        model = detectors.retinanet(trunk, classes, params.channels, params.head_convs, params.anchor_px)
    else:
        model = detectors.fcos(trunk, classes, params.channels, params.head_convs)
    if params.norms == "frozen":
        with_frozen_norms(model.backbone.body)
    return model


def published(params: Params) -> Published:
    """The weights that torchvision calls the default ones of the trunk's classifier, and its statistics of images."""
    from torchvision.models import get_model_weights

    from fewer.models.hub import Published, downloaded_of_torchvision

    default: Any = get_model_weights(params.name.partition("_")[2]).DEFAULT
    return Published(downloaded_of_torchvision(default.url), *usual_moments(params))


def usual_moments(params: Params) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that images for torchvision's weights of the trunk are normalised by."""
    from torchvision.models import get_model_weights

    transform = get_model_weights(params.name.partition("_")[2]).DEFAULT.transforms()
    return tuple(transform.mean), tuple(transform.std)


def adapted(tensors: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """A classifier's weights under the names of the trunk; those of a detector as they are."""
    from fewer.models.weight_names import unwrapped

    ours = model.state_dict()
    if sum(name in ours for name in tensors) > len(tensors) / 2:
        return tensors
    body = {
        name.removeprefix("backbone.body."): each for name, each in ours.items() if name.startswith("backbone.body.")
    }
    _, found = unwrapped(tensors, body)
    fitting = {name: each for name, each in found.items() if name in body and each.shape == body[name].shape}
    lacking = [name for name in body if name not in fitting and not name.endswith("num_batches_tracked")]
    return tensors if lacking else {f"backbone.body.{name}": each for name, each in fitting.items()}
