"""Object detection: boxes with classes, learnt from losses that the model tells of each image.

B: images of a batch. K: boxes of an image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, final

import torch

from fewer.core import rng
from fewer.core.detection import BOX_PART, CLASS_PART, Detected, Detections, Limits
from fewer.core.evaluation import Evaluation
from fewer.core.frame import frame_of
from fewer.core.observation import Column, Outcome, observe
from fewer.core.protocols import Comm
from fewer.core.ragged import Ragged, dense
from fewer.core.types import At, Batch, Forward, Stage
from fewer.tasks.detect.evaluation import Collected
from fewer.tasks.detect.metadata import Metadata
from fewer.tasks.detect.metrics import BOX_LOSS, CLASS_LOSS, PRIMARY, STEP_METRICS
from fewer.tasks.detect.prediction import BoxFormat, Objects, in_picture, objects_of
from fewer.tasks.detect.quality import COLUMNS
from fewer.tasks.detect.suspects import FAINT, Suspected

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.core.evaluation import Metric
    from fewer.core.ragged import Values
    from fewer.core.suspicion import Suspicion

_SURE = 0.5  # a mean probability from which an image counts as learnt
_DUMMY_BOXES = 4


@final
class Detect:
    """Object detection.

    The loss of an image is the sum of the model's two parts, for classes and for boxes, and its count what the model
    divides by. Its score is exp(-mean loss), so that a crowded image is not hard by its number of objects; it counts as
    right where the mean probability of its objects' classes is above one half, or, where it has no objects, where no
    class is that probable anywhere.

    Args:
        about: Classes and settings.
        autocast: Dtype of the forward's matrix products; None: that of the weights.
    """

    name = "detect"
    primary = PRIMARY
    step_metrics: tuple[Metric, ...] = STEP_METRICS
    scoring_mode: Literal["eval", "train"] = "eval"  # the models tell losses in either mode
    columns: Mapping[str, Column] = COLUMNS

    def __init__(self, about: Metadata, autocast: torch.dtype | None = None) -> None:
        self.about, self.autocast = about, autocast
        self.names, self.classes = about.classes, len(about.classes)
        self.limits = Limits(about.score_threshold, about.nms_iou, about.detections_max)

    def prepare(self, model: nn.Module, stage: Stage, epoch: int) -> None:
        return

    def outcome(self, forward: Forward, batch: Batch, at: At, columns: Sequence[Column] = ()) -> Outcome:
        output = self._output(forward, batch.inputs, _objects(batch, at.epoch))
        with self._precision(dense(batch.inputs)):
            seen = observe(columns, output, batch)
        return _outcome(output, seen)

    def output(self, forward: Forward, inputs: Values) -> Detected:
        """What the model says of images (B, 3, H, W) without targets, from one forward."""
        return self._output(forward, inputs)

    def _output(self, forward: Forward, inputs: Values, targets: Sequence[dict[str, Tensor]] | None = None) -> Detected:
        image_BCHW = dense(inputs)
        with self._precision(image_BCHW):
            found: Detected = forward(image_BCHW) if targets is None else forward(image_BCHW, targets)
        return found

    def _precision(self, image_BCHW: Tensor) -> AbstractContextManager[Any]:
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(image_BCHW.device.type, dtype=self.autocast)

    @torch.no_grad()
    def predict(self, model: nn.Module, inputs: Values) -> list[Detections]:
        """The boxes that are evaluated of each image, in pixels of the frame, of a model in eval mode."""
        return self._found(self._output(model, inputs), inputs, self.limits)

    def _found(self, output: Detected, inputs: Values, limits: Limits) -> list[Detections]:
        with self._precision(dense(inputs)):
            return output.found(limits)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, batches: Iterable[Batch], comm: Comm) -> Evaluation:
        """COCO's average precisions in pixels of the pictures themselves, and the mean loss, from one forward an image.

        Precision against recall, and each class by itself, are among the tables.
        """
        model.eval()
        collected = Collected(self.classes, self.about.detections_max, self.about.shown_score)
        for batch in batches:
            output = self._output(model, batch.inputs, _objects(batch, 0))
            collected.add(batch, self._found(output, batch.inputs, self.limits), _outcome(output, {}))
        return collected.evaluation(comm)

    @torch.no_grad()
    def predictions(self, model: nn.Module, batch: Batch, most: int) -> list[Objects]:
        """The boxes of each image that are sure enough to be shown, in pixels of the picture, at most so many."""
        limits = Limits(self.about.shown_score, self.about.nms_iou, most)
        found = self._found(self._output(model, batch.inputs), batch.inputs, limits)
        return [objects_of(in_picture(each, target), target) for each, target in zip(found, batch.targets, strict=True)]

    @torch.no_grad()
    def suspicions(self, model: nn.Module, batches: Iterable[Batch]) -> list[Suspicion]:
        """Boxes that are missing, of another class or at which nothing is found, of the classes that a model knows."""
        limits = Limits(FAINT, self.about.nms_iou, self.about.detections_max)
        suspected = Suspected(self.classes)
        for batch in batches:
            found = self._found(self._output(model, batch.inputs), batch.inputs, limits)
            for id, each, target in zip(batch.ids_B.tolist(), found, batch.targets, strict=True):
                assert isinstance(target, dict)
                suspected.add(id, in_picture(each, target).cpu(), target)
        return suspected.found()

    def format(self, most: int) -> BoxFormat:
        return BoxFormat(self.names)

    def dummy_batch(self, side_px: int, device: torch.device, dtype: torch.dtype) -> Batch:
        """Two images of nothing in the data's frame, with a few objects of different sizes each."""
        ids_B, frame = torch.arange(2), frame_of(side_px, self.about.aspect)
        parts = [1 / 2**step for step in range(_DUMMY_BOXES)]
        boxes = [[0.0, 0.0, frame.width_px * part, frame.height_px * part] for part in parts]
        target = {
            "boxes": torch.tensor(boxes).to(device),
            "labels": (torch.arange(_DUMMY_BOXES) % self.classes).to(device),
        }
        images = torch.zeros(2, 3, frame.height_px, frame.width_px, device=device, dtype=dtype)
        return Batch(ids_B, images, Ragged((target, target)))

    def dry_run(self, model: nn.Module, batch: Batch) -> None:
        output = self.output(model, batch.inputs)
        if not isinstance(output, Detected):
            raise ValueError("is no detector: it gives no boxes")
        if output.classes != self.classes:
            raise ValueError(f"tells {output.classes} classes apart, not {self.classes}")

    def metadata(self) -> dict[str, Any]:
        return self.about.model_dump(mode="json")


def _objects(batch: Batch, epoch: int) -> list[dict[str, Tensor]]:
    """The boxes and labels of each image, and a number for what a model draws for it: by its id and the epoch."""
    draw_B = rng.bits(batch.ids_B.cpu(), 0, "detect", epoch)
    return [_with_draw(target, draw) for target, draw in zip(batch.targets, draw_B, strict=True)]


def _with_draw(target: Any, draw: Tensor) -> dict[str, Tensor]:
    """What a model takes of an image's targets; of an image that stands in for none, no objects."""
    if not target:
        return {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "draw": draw}
    return {"boxes": target["boxes"], "labels": target["labels"], "draw": draw}


def _outcome(output: Detected, columns: dict[str, Tensor]) -> Outcome:
    class_B, box_B, count_B = output.loss_sum_B[CLASS_PART], output.loss_sum_B[BOX_PART], output.count_B
    assert count_B is not None
    assert output.sure_B is not None
    with torch.no_grad():
        metrics = {CLASS_LOSS.name: class_B / count_B, BOX_LOSS.name: box_B / count_B}
        score_B = torch.exp(-(metrics[CLASS_LOSS.name] + metrics[BOX_LOSS.name]))
    return Outcome(class_B + box_B, count_B, score_B, output.sure_B > _SURE, metrics, columns)
