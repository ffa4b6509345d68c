"""Semantic segmentation: a class for every pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from fewer.core.config import NonNegative, Section
from fewer.core.registry import Registry
from fewer.tasks.segment.by_class import by_class
from fewer.tasks.segment.loss import LOSSES
from fewer.tasks.segment.metadata import EVALUATION_KEYS, Metadata, Tta
from fewer.tasks.segment.metrics import METRICS, PRIMARY, STEP_METRICS, VALIDATION_METRICS, metric_names

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fewer.core.metadata import TaskSetting
    from fewer.core.objects import ObjectTable
    from fewer.tasks.segment.task import Segment

__all__ = [
    "ANNOTATIONS",
    "EVALUATION_KEYS",
    "METRICS",
    "OWN_SIDES_PX",
    "PRIMARY",
    "SIDE_STEP_PX",
    "STEP_METRICS",
    "VALIDATION_METRICS",
    "Metadata",
    "Params",
    "build",
    "by_class",
    "groups",
    "metric_names",
    "plain",
    "restored",
]

ANNOTATIONS, OWN_SIDES_PX, SIDE_STEP_PX = "masks", (256, 512), 32


class Params(Section):
    named_parts: ClassVar[Mapping[str, Registry]] = {"loss": LOSSES}

    loss: str = "cross_entropy"
    """Minimised in training; brings keys of its own. Evaluation always gives cross-entropy. `focal` (Lin et al. 2017):
    less weight on pixels that are learnt. `dice` (Milletari et al. 2016): the overlap of each class in each image, so
    that small ones count as much as large ones. `cross_entropy_dice`: both."""
    class_weights: Literal["none", "inverse", "log"] = "none"
    """Weights in the loss by a class's share p of the training pixels: 1 / p, or 1 / log(1.02 + p) (Paszke et al.
    2016), which has bounds. Their mean over the training pixels is 1."""
    aux_weight: NonNegative = 0.4
    """Factor on the loss of auxiliary heads, of models that have any (Zhao et al. 2017)."""
    tta: Tta = "none"
    """Test-time augmentation. `flip`: the mean of the logits of an image and of its mirror image."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        if getattr(self, "weighs", True):
            return {}
        reason = f'has no effect with task.loss = "{self.loss}"; leave it out, or take "cross_entropy_dice"'
        return self.changed(["class_weights"], reason)


def build(params: Params, setting: TaskSetting) -> Segment:
    """The task of a recipe."""
    from fewer.tasks.segment.class_weights import class_weights
    from fewer.tasks.segment.loss import Setting
    from fewer.tasks.segment.task import Segment

    loss = Setting(class_weights(params.class_weights, setting.pixels_C), setting.label_smoothing)
    return Segment(
        setting.classes,
        loss=LOSSES.module(params.loss).build(params, loss),
        aux_weight=params.aux_weight,
        tta=params.tta,
        autocast=setting.autocast,
        aspect=setting.aspect,
        pixels_C=setting.pixels_C,
    )


def groups(label_N: Tensor, classes: Sequence[str], objects: ObjectTable | None = None) -> tuple[Tensor, int]:
    """The group of every sample, by which selection guards and draws, and how many there are: all images are one."""
    return label_N.clamp(max=0), 1


def plain(classes: Sequence[str], aspect: float = 1.0) -> Segment:
    """The task with default settings."""
    from fewer.tasks.segment.task import Segment

    return Segment(classes, aspect=aspect)


def restored(metadata: Metadata, autocast: torch.dtype | None) -> Segment:
    """The task of a published model.

    Args:
        metadata: Its part of `model.json`.
        autocast: Dtype of the forward's matrix products; None: that of the weights.
    """
    from fewer.tasks.segment.task import Segment

    return Segment(metadata.classes, tta=metadata.tta, autocast=autocast, pixels_C=metadata.train_pixels_per_class)
