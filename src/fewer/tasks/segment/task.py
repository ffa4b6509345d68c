"""Segmentation: a class for every pixel of an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, final

import torch

from fewer.core.drawing.palette import MASK_CLASSES_MAX
from fewer.core.evaluation import Evaluation, WorstSample
from fewer.core.frame import frame_of
from fewer.core.observation import Column, Outcome, observe
from fewer.core.protocols import Comm
from fewer.core.ragged import Ragged, dense
from fewer.core.types import At, Batch, Forward, Stage, first
from fewer.core.worst import worst_rows
from fewer.tasks.segment.loss import Setting
from fewer.tasks.segment.losses import cross_entropy
from fewer.tasks.segment.metadata import Metadata, Tta
from fewer.tasks.segment.metrics import PIXEL_ACCURACY, PRIMARY, STEP_METRICS, image_miou, scalars, tables
from fewer.tasks.segment.own_size import own_ids
from fewer.tasks.segment.pixels import Pixels, at_size
from fewer.tasks.segment.prediction import MaskFormat, MaskPrediction
from fewer.tasks.segment.suspects import Suspected

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.core.evaluation import Metric
    from fewer.core.ragged import Values
    from fewer.core.suspicion import Suspicion
    from fewer.tasks.segment.loss import Loss


class _Place(NamedTuple):
    """Where a picture lies in its frame: see `fewer.tasks.segment.own_size`."""

    size: list[int]
    to_picture: list[float]


@final
class Segment:
    """Semantic segmentation.

    An image's score is exp(-mean cross-entropy of its pixels), a geometric mean of the true classes' probabilities, by
    the main head; an image is right where more than half of its pixels are. An image without a valid pixel has the loss
    0, the count 0 and the score 1, and is not right.

    Args:
        classes: Names of the classes, or their number, C, 255 at most.
        loss: The training loss, one of `fewer.tasks.segment.losses`; left out: cross-entropy, as in evaluation.
        aux_weight: Factor on the loss of auxiliary heads, which networks have in training only. Selection, which
            compares losses of training and of scoring, sees the main head's alone.
        tta: "flip": evaluate the mean of the logits of each image and of its mirror image.
        autocast: Dtype of the forward's matrix products; None: that of the weights.
        aspect: Width / height of the frames, for dummy batches.
        pixels_C: Training pixels of every class.
    """

    name = "segment"
    primary = PRIMARY
    step_metrics: tuple[Metric, ...] = STEP_METRICS
    scoring_mode: Literal["eval", "train"] = "eval"

    def __init__(
        self,
        classes: int | Sequence[str],
        loss: Loss | None = None,
        aux_weight: float = 0.4,
        tta: Tta = "none",
        autocast: torch.dtype | None = None,
        aspect: float = 1.0,
        pixels_C: Sequence[int] = (),
    ) -> None:
        self.names = tuple(map(str, range(classes)) if isinstance(classes, int) else classes)
        if len(self.names) > MASK_CLASSES_MAX:
            raise ValueError(f"{len(self.names)} classes; masks of 8 bits have room for {MASK_CLASSES_MAX}")
        self.classes, self.tta, self.autocast = len(self.names), tta, autocast
        self.loss = loss or cross_entropy.build(cross_entropy.Params(), Setting())
        self.aux_weight, self.aspect, self.pixels_C = aux_weight, aspect, pixels_C

    def prepare(self, model: nn.Module, stage: Stage, epoch: int) -> None:
        return

    def outcome(self, forward: Forward, batch: Batch, at: At, columns: Sequence[Column] = ()) -> Outcome:
        main, *auxiliary = _heads(self.output(forward, batch.inputs))
        mask_BHW = _masks(batch.targets)
        pixels = Pixels.of(main, mask_BHW)
        loss_sum_B, count_B = self.loss(pixels)
        floor_B = None
        if auxiliary and self.aux_weight:
            further_B = torch.stack([self.loss(Pixels.of(each, mask_BHW)).sum_B for each in auxiliary]).sum(0)
            further_B = self.aux_weight * further_B
            loss_sum_B, floor_B = loss_sum_B + further_B, further_B.detach()
        with torch.no_grad():
            share_B = pixels.right_share_B
            return Outcome(
                loss_sum_B=loss_sum_B,
                count_B=count_B,
                score_B=torch.exp(-pixels.mean_nll_B),
                right_B=share_B > 0.5,
                metrics={PIXEL_ACCURACY.name: share_B},
                columns=observe(columns, main, batch),
                floor_B=floor_B,
            )

    @torch.no_grad()
    def evaluate(self, model: nn.Module, batches: Iterable[Batch], comm: Comm) -> Evaluation:
        """Mean IoU and accuracies of all pixels at the pictures' own sizes, and the mean cross-entropy in the frames.

        See `fewer.tasks.segment.metrics` for the definitions. One picture at a time is held at its own size.
        """
        model.eval()
        device = next(model.parameters()).device
        confusion_CC = torch.zeros(self.classes, self.classes, dtype=torch.int64, device=device)
        sums = torch.zeros(2, dtype=torch.float64, device=device)  # loss, pixels of the frames
        rows = []  # of each image its id, loss, mean IoU, and share of pixels that are right
        for batch in batches:
            targets = _samples(batch.targets)
            for id, logits_1Chw, target in zip(batch.ids_B.tolist(), self._alone(model, batch), targets, strict=True):
                pixels = Pixels.of(logits_1Chw, target["mask"][None])
                image_CC = self._confusion(logits_1Chw[0], target)
                confusion_CC += image_CC
                sums += torch.stack([pixels.nll_BHW.sum(dtype=torch.float64), pixels.count_B.sum()])
                image_CC = image_CC.cpu()
                share = float(image_CC.diagonal().sum()) / max(1, int(image_CC.sum()))
                rows.append([float(id), float(pixels.mean_nll_B), image_miou(image_CC), share])
        comm.all_reduce(confusion_CC)
        comm.all_reduce(sums)
        known_N4 = torch.tensor(rows, dtype=torch.float64).view(-1, 4)
        worst = [_worst_sample(row) for row in worst_rows(known_N4, comm).tolist()]
        counts_CC = confusion_CC.cpu()
        loss, pixels_of_frames = sums.tolist()
        return Evaluation(scalars(counts_CC, loss, int(pixels_of_frames)), tables(counts_CC), worst)

    def output(self, forward: Forward, inputs: Values) -> Any:
        """Logits (B, C, h, w) from one forward, at the frame's resolution or less; auxiliary ones behind, if any."""
        image_BCHW = dense(inputs)
        if self.autocast is None:
            return forward(image_BCHW)
        with torch.autocast(image_BCHW.device.type, dtype=self.autocast):
            return forward(image_BCHW)

    @torch.no_grad()
    def predict(self, model: nn.Module, inputs: Values) -> Tensor:
        """The logits that are evaluated (B, C, h, w), of a model in eval mode."""
        logits_BChw = first(self.output(model, inputs))
        if self.tta == "flip":
            logits_BChw = (logits_BChw + first(self.output(model, dense(inputs).flip(-1))).flip(-1)) / 2
        return logits_BChw

    def predictions(self, model: nn.Module, batch: Batch, most: int) -> list[MaskPrediction]:
        """A class for every pixel of each picture, at its own size."""
        frame = _frame(batch)
        places = [_place(target) for target in _samples(batch.targets)]
        found = zip(self._alone(model, batch), places, strict=True)
        return [MaskPrediction(own_ids(logits[0], frame, *place).cpu().numpy()) for logits, place in found]

    @torch.no_grad()
    def suspicions(self, model: nn.Module, batches: Iterable[Batch]) -> list[Suspicion]:
        """Connected parts of masks that the model is sure are of another class than theirs, which it knows."""
        suspected = Suspected(self.classes)
        for batch in batches:
            frame, targets = _frame(batch), _samples(batch.targets)
            for id, logits_1Chw, target in zip(batch.ids_B.tolist(), self._alone(model, batch), targets, strict=True):
                suspected.add(id, at_size(logits_1Chw, frame)[0].softmax(0), target)
        return suspected.found()

    def format(self, most: int) -> MaskFormat:
        return MaskFormat(self.names, most)

    def dummy_batch(self, side_px: int, device: torch.device, dtype: torch.dtype) -> Batch:
        frame = frame_of(side_px, self.aspect)
        images = torch.empty(2, 3, *frame, device=device, dtype=dtype)
        return Batch(torch.arange(2), images, torch.zeros(2, *frame, device=device, dtype=torch.uint8))

    def dry_run(self, model: nn.Module, batch: Batch) -> None:
        shape, (height, width) = tuple(first(self.output(model, batch.inputs)).shape), _frame(batch)
        if len(shape) != 4 or shape[:2] != (len(batch), self.classes) or shape[2] > height or shape[3] > width:
            raise ValueError(
                f"gives outputs of shape {shape} for {len(batch)} images of {height} x {width} px and {self.classes} "
                "classes"
            )

    def metadata(self) -> dict[str, Any]:
        counts = tuple(self.pixels_C)
        about = Metadata(classes=self.names, train_pixels_per_class=counts, tta=self.tta)
        return about.model_dump(mode="json")

    def _alone(self, model: nn.Module, batch: Batch) -> Iterator[Tensor]:
        """The evaluated logits of a batch, an image at a time (1, C, h, w)."""
        return iter(self.predict(model, batch.inputs).split(1))

    def _confusion(self, logits_Chw: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Pixels of a picture by class, at its own size: rows are true classes, columns predictions; void left out."""
        mask_HW, label_hw = target["mask"], target["own"]
        said_hw = own_ids(logits_Chw, (mask_HW.shape[0], mask_HW.shape[1]), *_place(target))
        cells_hw = label_hw.long() * self.classes + said_hw.long()
        void = self.classes**2  # a cell behind the matrix
        cells_hw = cells_hw.masked_fill(label_hw >= self.classes, void)
        return torch.bincount(cells_hw.flatten(), minlength=void + 1)[:void].view(self.classes, self.classes)


def _heads(output: Any) -> Sequence[Tensor]:
    """The main head's logits, and those of auxiliary heads behind them."""
    return output if isinstance(output, (tuple, list)) else (output,)


def _masks(targets: Values) -> Tensor:
    """Class ids in the frame (B, H, W), of training and of evaluation views."""
    if isinstance(targets, Ragged):
        return torch.stack([target["mask"] for target in _samples(targets)])
    return dense(targets)


def _samples(targets: Values) -> list[dict[str, Tensor]]:
    """The targets of evaluation views, or of images without labels.

    Raises:
        TypeError: They are those of training views, which do not tell where a picture lies.
    """
    if not isinstance(targets, Ragged):
        raise TypeError("masks of training views have no place in their pictures; request views of strength 0")
    return [target for target in targets if isinstance(target, dict)]


def _place(target: dict[str, Tensor]) -> _Place:
    return _Place(target["size"].tolist(), target["to_picture"].tolist())


def _frame(batch: Batch) -> tuple[int, int]:
    height, width = dense(batch.inputs).shape[-2:]
    return height, width


def _worst_sample(row: Sequence[float]) -> WorstSample:
    id, loss, miou, share = row
    return WorstSample(int(id), loss, {"miou": miou if miou >= 0 else None, "pixel_accuracy": share})
