"""Image classification: one label an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from fewer.core.clock import Duration
from fewer.core.config import Section, Span
from fewer.core.registry import Registry
from fewer.tasks.classify.by_class import by_class
from fewer.tasks.classify.loss import LOSSES
from fewer.tasks.classify.metadata import EVALUATION_KEYS, Confidence, Metadata
from fewer.tasks.classify.metrics import METRICS, PRIMARY, STEP_METRICS, VALIDATION_METRICS, metric_names
from fewer.tasks.classify.tta import Tta

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fewer.core.metadata import TaskSetting
    from fewer.core.objects import ObjectTable
    from fewer.tasks.classify.task import Classify

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

ANNOTATIONS, OWN_SIDES_PX, SIDE_STEP_PX = "classes", (32, 128), 1


class Params(Section):
    named_parts: ClassVar[Mapping[str, Registry]] = {"loss": LOSSES}

    loss: str = "cross_entropy"
    """Minimised in training; brings keys of its own. Evaluation always gives cross-entropy. `focal` (Lin et al. 2017):
    less weight on samples that are learnt. For long tails: `ldam` (Cao et al. 2019) gives rare classes wider margins,
    `logit_adjustment` (Menon et al. 2021) adds the logarithm of the classes' shares to the logits."""
    class_weights: Literal["none", "effective_number", "inverse"] = "none"
    """Weights in the loss by the training images n of a class: 1 / n, or (1 - beta) / (1 - beta^n) (Cui et al. 2019).
    Their mean over the training images is 1."""
    class_beta: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.9999
    """`effective_number`: beta; 0 is no weights, towards 1 it becomes `inverse`."""
    reweight_from: Span = Duration(0, "%")
    """No `class_weights` before this part of the run, in whole epochs (deferred re-weighting, Cao et al. 2019)."""
    tta: Tta = "none"
    """Test-time augmentation: the mean of the logits over views of an image. `flip`: the image and its mirror image.
    `flip_and_shift`: six, these two, and both shifted by a pixel either way, which together have half of the weight."""
    tta_below: Confidence = 1.0
    """`tta`: only images whose most probable class has a smaller probability than this are looked at again; 1: all.
    Sweep it with `fewer eval RUN --split val task.tta_below=0.7`, which says how many forwards an image took."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        found, rule = {}, self.class_weights
        if rule != "effective_number":
            reason = f'has no effect with task.class_weights = "{rule}"; it belongs to "effective_number"; leave it out'
            found = self.changed(["class_beta"], reason)
        if rule == "none":
            found |= self.changed(["reweight_from"], 'has no effect with task.class_weights = "none"; leave it out')
        if self.tta == "none":
            fix = 'take it out with task.tta_below=, or set task.tta = "flip_and_shift"'
            reason = f'has no effect with task.tta = "none"; {fix}'
            found |= self.changed(["tta_below"], reason)
        return found


def build(params: Params, setting: TaskSetting) -> Classify:
    """The task of a recipe."""
    from fewer.tasks.classify.class_weights import Reweighting
    from fewer.tasks.classify.loss import Setting
    from fewer.tasks.classify.task import Classify
    from fewer.tasks.classify.tta import Views

    images_C = setting.images_C
    loss = Setting(images_C, setting.label_smoothing, setting.logit_scale)
    return Classify(
        setting.classes,
        views=Views(params.tta, params.tta_below),
        autocast=setting.autocast,
        loss=LOSSES.module(params.loss).build(params, loss),
        reweighting=Reweighting(params.class_weights, images_C, params.class_beta, params.reweight_from),
        images_C=images_C,
    )


def groups(label_N: Tensor, classes: Sequence[str], objects: ObjectTable | None = None) -> tuple[Tensor, int]:
    """The group of every sample, by which selection guards and draws, and how many there are: the classes."""
    return label_N, len(classes)


def plain(classes: Sequence[str], aspect: float = 1.0) -> Classify:
    """The task with default settings."""
    from fewer.tasks.classify.task import Classify

    return Classify(classes)


def restored(metadata: Metadata, autocast: torch.dtype | None) -> Classify:
    """The task of a published model.

    Args:
        metadata: Its part of `model.json`.
        autocast: Dtype of the forward's matrix products; None: that of the weights.
    """
    from fewer.tasks.classify.task import Classify
    from fewer.tasks.classify.tta import Views

    views, images_C = Views(metadata.tta, metadata.tta_below), metadata.train_images_per_class
    return Classify(metadata.classes, views=views, autocast=autocast, images_C=images_C)
