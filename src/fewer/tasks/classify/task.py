"""One label an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, final

import torch

from fewer.core.protocols import ChangesByEpoch, Comm
from fewer.core.types import (
    WORST_SAMPLES,
    At,
    Batch,
    Column,
    Evaluation,
    Forward,
    Outcome,
    Stage,
    WorstSample,
    first,
    observe,
)
from fewer.tasks.classify import shots
from fewer.tasks.classify.losses.cross_entropy import cross_entropy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.tasks.classify.class_weights import Reweighting
    from fewer.tasks.classify.losses import Loss


@final
class Classify:
    """Image classification.

    Args:
        classes: Number of classes, C.
        label_smoothing: Share of the target spread over all classes, in training only; `loss` brings its own.
        flip_tta: Evaluate the mean of the logits of each image and of its mirror image.
        autocast: Dtype of the forward's matrix products; None: that of the weights.
        loss: The training loss, one of `fewer.tasks.classify.losses`; left out: cross-entropy, as in evaluation.
        reweighting: Weights by class in training; left out: none. They are part of the losses that training tells.
        images_C: Training images of every class, for accuracy by their number where that differs much.
    """

    def __init__(
        self,
        classes: int,
        label_smoothing: float = 0.0,
        flip_tta: bool = False,
        autocast: torch.dtype | None = None,
        loss: Loss | None = None,
        reweighting: Reweighting | None = None,
        images_C: Sequence[int] = (),
    ) -> None:
        self.classes, self.flip_tta, self.autocast = classes, flip_tta, autocast
        self.loss = loss or partial(cross_entropy, label_smoothing=label_smoothing)
        self.reweighting, self.images_C = reweighting, images_C

    def prepare(self, model: nn.Module, stage: Stage, epoch: int) -> None:
        """Lets a model that changes from epoch to epoch (frozen layers) do so."""
        if isinstance(model, ChangesByEpoch):
            model.prepare(epoch)

    def outcome(self, forward: Forward, batch: Batch, at: At, columns: Sequence[Column] = ()) -> Outcome:
        logits_BC = self._logits(forward, batch.inputs)
        outcome = self.loss(logits_BC, batch.targets)
        if columns:
            outcome = replace(outcome, columns=observe(columns, logits_BC, batch))
        if self.reweighting is None or not self.reweighting.applies(at):
            return outcome
        weight_B = self.reweighting.weight_C.to(outcome.loss_sum_B)[batch.targets]
        return replace(outcome, loss_sum_B=outcome.loss_sum_B * weight_B)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, batches: Iterable[Batch], comm: Comm) -> Evaluation:
        """Top-1, top-5, mean cross-entropy, macro-F1; the confusion matrix and the accuracy of every class.

        Where classes differ much in training images also balanced accuracy, and that of the classes that have many,
        some and few of them: means over the classes, see `fewer.tasks.classify.shots`.
        """
        model.eval()
        device = next(model.parameters()).device
        confusion_CC = torch.zeros(self.classes, self.classes, dtype=torch.float64, device=device)
        sums = torch.zeros(2, dtype=torch.float64, device=device)  # loss, right among the top five
        known = [torch.empty(0, 5, dtype=torch.float64)]  # id, loss, class, prediction and its probability
        for batch in batches:
            logits_BC = self.predict(model, batch.inputs)
            outcome = cross_entropy(logits_BC, batch.targets)
            cells = batch.targets * self.classes + logits_BC.argmax(1)
            confusion_CC += torch.bincount(cells, minlength=self.classes**2).view_as(confusion_CC)
            top_B5 = logits_BC.topk(min(5, self.classes), dim=1).indices
            sums += torch.stack([outcome.loss_sum_B.sum(dtype=torch.float64), (top_B5 == batch.targets[:, None]).sum()])
            sure_B, said_B = logits_BC.float().softmax(1).max(1)
            columns = (batch.ids_B, outcome.loss_sum_B, batch.targets, said_B, sure_B)
            known.append(torch.stack([column.double().cpu() for column in columns], dim=1))
        comm.all_reduce(confusion_CC)
        comm.all_reduce(sums)
        worst = _worst(comm.gather(_worst(torch.cat(known))))
        return _metrics(confusion_CC.cpu(), sums.cpu(), worst, self.images_C)

    @torch.no_grad()
    def predict(self, model: nn.Module, image_BCHW: Tensor) -> Tensor:
        """The logits that are evaluated (B, C), of a model in eval mode."""
        logits_BC = self._logits(model, image_BCHW)
        if self.flip_tta:
            logits_BC = (logits_BC + self._logits(model, image_BCHW.flip(-1))) / 2
        return logits_BC

    def _logits(self, forward: Forward, inputs: Tensor) -> Tensor:
        enabled = self.autocast is not None
        with torch.autocast(inputs.device.type, dtype=self.autocast, enabled=enabled):
            return first(forward(inputs))


def _worst(known_N5: Tensor) -> Tensor:
    """The rows of highest loss, the worst first, of equal ones the lower id: the same for any number of ranks."""
    by_id = known_N5[torch.argsort(known_N5[:, 0])]
    return by_id[torch.argsort(by_id[:, 1], descending=True, stable=True)[:WORST_SAMPLES]]


def metric_names(images_C: Sequence[int]) -> tuple[str, ...]:
    """Names of the metrics that an evaluation may have, by the training images of each class."""
    by_shots = ("balanced_accuracy", *(f"{name}_shot" for name in shots.groups(images_C)))
    return ("top1", "top5", "loss", "macro_f1", *(by_shots if shots.is_imbalanced(images_C) else ()))


def _metrics(confusion_CC: Tensor, sums: Tensor, worst: Tensor, images_C: Sequence[int]) -> Evaluation:
    count = confusion_CC.sum().clamp(min=1)
    right_C, true_C, said_C = confusion_CC.diagonal(), confusion_CC.sum(1), confusion_CC.sum(0)
    present_C = true_C > 0
    # F1 = 2 TP / (TP + FN + TP + FP); the mean is over the classes that occur in the set.
    f1_C = 2 * right_C / (true_C + said_C).clamp(min=1)
    accuracy_C = torch.where(present_C, right_C / true_C.clamp(min=1), torch.nan)
    return Evaluation(
        scalars={
            "top1": float(right_C.sum() / count),
            "top5": float(sums[1] / count),
            "loss": float(sums[0] / count),
            "macro_f1": float(f1_C[present_C].mean()) if present_C.any() else 0.0,
            **_by_shots(accuracy_C, images_C),
        },
        tables={
            "confusion": confusion_CC.long().tolist(),
            "per_class_accuracy": [None if value != value else value for value in accuracy_C.tolist()],
        },
        worst=[WorstSample(int(i), loss, int(true), int(said), sure) for i, loss, true, said, sure in worst.tolist()],
    )


def _by_shots(accuracy_C: Tensor, images_C: Sequence[int]) -> dict[str, float]:
    """Mean accuracy over all classes, and over those of each group; classes and groups without images are left out."""
    if not shots.is_imbalanced(images_C):
        return {}
    means = {"balanced_accuracy": accuracy_C.nanmean()}
    means |= {f"{name}_shot": accuracy_C[index].nanmean() for name, index in shots.groups(images_C).items()}
    return {name: float(mean) for name, mean in means.items() if not mean.isnan()}
