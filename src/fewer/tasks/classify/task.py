"""Image classification: one label for each image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, final

import torch

from fewer.core.evaluation import Evaluation, WorstSample
from fewer.core.observation import Column, Outcome, observe
from fewer.core.protocols import Comm
from fewer.core.ragged import dense
from fewer.core.types import At, Batch, Forward, Stage, first
from fewer.core.worst import worst_rows
from fewer.tasks.classify.cross_entropy import cross_entropy
from fewer.tasks.classify.metadata import Metadata
from fewer.tasks.classify.metrics import PRIMARY, STEP_METRICS, scalars, tables
from fewer.tasks.classify.mixed import Weight, mixed
from fewer.tasks.classify.prediction import Ranking, RankingFormat, rankings
from fewer.tasks.classify.tta import AS_IT_IS, Views

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.core.evaluation import Metric
    from fewer.core.ragged import Values
    from fewer.tasks.classify.class_weights import Reweighting
    from fewer.tasks.classify.loss import Loss


@final
class Classify:
    """Image classification.

    Args:
        classes: Names of the classes, or their number, C.
        label_smoothing: Share of the target spread over all classes, in training only; `loss` brings its own.
        views: Which views of an image are evaluated; left out: the image as it is.
        autocast: Dtype of the forward's matrix products; None: that of the weights.
        loss: The training loss, one of `fewer.tasks.classify.losses`; left out: cross-entropy, as in evaluation.
        reweighting: Weights by class in training; left out: none. They are part of the losses that training tells.
        images_C: Training images of every class, for accuracy by their number where that differs much.
    """

    name = "classify"
    primary = PRIMARY
    step_metrics: tuple[Metric, ...] = STEP_METRICS
    scoring_mode: Literal["eval", "train"] = "eval"

    def __init__(
        self,
        classes: int | Sequence[str],
        label_smoothing: float = 0.0,
        views: Views = AS_IT_IS,
        autocast: torch.dtype | None = None,
        loss: Loss | None = None,
        reweighting: Reweighting | None = None,
        images_C: Sequence[int] = (),
    ) -> None:
        self.names = tuple(map(str, range(classes)) if isinstance(classes, int) else classes)
        self.classes, self.views, self.autocast = len(self.names), views, autocast
        self.loss = loss or partial(cross_entropy, label_smoothing=label_smoothing)
        self.reweighting, self.images_C = reweighting, images_C

    def prepare(self, model: nn.Module, stage: Stage, epoch: int) -> None:
        return

    def outcome(self, forward: Forward, batch: Batch, at: At, columns: Sequence[Column] = ()) -> Outcome:
        logits_BC, label_B = self.output(forward, batch.inputs), dense(batch.targets)
        weight_B = self._weights(label_B, at)
        outcome = _weighted(self.loss(logits_BC, label_B), weight_B)
        if batch.mixed is not None:
            label_2_B = dense(batch.mixed.targets)
            weight_2_B = self._weights(label_2_B, at)
            other = _weighted(self.loss(logits_BC, label_2_B), weight_2_B)
            share_B, same_B = batch.mixed.share_B, label_B == label_2_B
            outcome = mixed(outcome, other, share_B, same_B, (weight_B, weight_2_B))
        metrics = {PRIMARY.name: outcome.right_B}
        return replace(outcome, metrics=metrics, columns=observe(columns, logits_BC, batch))

    def _weights(self, label_B: Tensor, at: At) -> Weight:
        """The weights of some labels' classes in training; 1 where there are none."""
        if self.reweighting is None or not self.reweighting.applies(at):
            return 1.0
        return self.reweighting.weight_C.to(label_B.device)[label_B]

    @torch.no_grad()
    def evaluate(self, model: nn.Module, batches: Iterable[Batch], comm: Comm) -> Evaluation:
        """Top-1, top-5, mean cross-entropy, macro-F1; the confusion matrix and the accuracy of every class.

        Where classes differ much in training images also balanced accuracy, and that of the classes that have many,
        some and few of them: means over the classes, see `fewer.tasks.classify.shots`. With several views also how many
        forwards an image took, on average.
        """
        model.eval()
        device = next(model.parameters()).device
        confusion_CC = torch.zeros(self.classes, self.classes, dtype=torch.float64, device=device)
        sums = torch.zeros(3, dtype=torch.float64, device=device)  # loss, right among the top five, forwards
        known = [torch.empty(0, 5, dtype=torch.float64)]  # id, loss, class, prediction and its probability
        for batch in batches:
            (logits_BC, forwards), label_B = self._looked_at(model, batch.inputs), dense(batch.targets)
            outcome = cross_entropy(logits_BC, label_B)
            cells = label_B * self.classes + logits_BC.argmax(1)
            confusion_CC += torch.bincount(cells, minlength=self.classes**2).view_as(confusion_CC)
            top_B5 = logits_BC.topk(min(5, self.classes), dim=1).indices
            in_top5 = (top_B5 == label_B[:, None]).sum()
            sums += torch.stack([outcome.loss_sum_B.sum(dtype=torch.float64), in_top5, in_top5.new_tensor(forwards)])
            sure_B, said_B = logits_BC.float().softmax(1).max(1)
            columns = (batch.ids_B, outcome.loss_sum_B, label_B, said_B, sure_B)
            known.append(torch.stack([column.double().cpu() for column in columns], dim=1))
        comm.all_reduce(confusion_CC)
        comm.all_reduce(sums)
        worst = [_worst_sample(row) for row in worst_rows(torch.cat(known), comm).tolist()]
        counts_CC = confusion_CC.cpu()
        loss, right_5, all_forwards = sums.tolist()
        found = tables(counts_CC)
        if self.views.tta != "none":
            found["forwards_per_image"] = all_forwards / max(1.0, float(counts_CC.sum()))
        return Evaluation(scalars(counts_CC, loss, right_5, self.images_C), found, worst)

    @torch.no_grad()
    def guess(self, images_C: Sequence[int]) -> dict[str, float]:
        """Loss and accuracy of a model whose logits are the logarithms of the classes' shares, whatever the image."""
        share_C = torch.tensor(images_C, dtype=torch.float64) / sum(images_C)
        present_B = share_C.nonzero()[:, 0]
        logits_BC = share_C.clamp(min=1e-9).log().float().expand(len(present_B), -1)
        batch = Batch(present_B, torch.empty(len(present_B), 0), present_B)
        outcome = self.outcome(lambda _: logits_BC, batch, At(0, 1, 0.0))
        loss = (share_C[present_B] * outcome.loss_sum_B / outcome.count_B).sum()
        return {"loss": float(loss), PRIMARY.name: float(share_C.max())}

    def output(self, forward: Forward, inputs: Values) -> Tensor:
        """Logits (B, C) from one forward."""
        image_BCHW = dense(inputs)
        if self.autocast is None:
            return first(forward(image_BCHW))
        with torch.autocast(image_BCHW.device.type, dtype=self.autocast):
            return first(forward(image_BCHW))

    @torch.no_grad()
    def predict(self, model: nn.Module, inputs: Values) -> Tensor:
        """The logits that are evaluated (B, C), of a model in eval mode."""
        return self._looked_at(model, inputs)[0]

    def _looked_at(self, model: nn.Module, inputs: Values) -> tuple[Tensor, int]:
        """The logits that are evaluated, and how many images went forward for them."""
        return self.views.logits(partial(self.output, model), dense(inputs))

    def predictions(self, model: nn.Module, batch: Batch, most: int) -> list[Ranking]:
        """The most probable classes of each image."""
        return rankings(self.predict(model, batch.inputs), most)

    def format(self, most: int) -> RankingFormat:
        return RankingFormat(self.names, most)

    def dummy_batch(self, side_px: int, device: torch.device, dtype: torch.dtype) -> Batch:
        ids_B = torch.arange(2)
        images = torch.empty(2, 3, side_px, side_px, device=device, dtype=dtype)
        return Batch(ids_B, images, (ids_B % self.classes).to(device))

    def dry_run(self, model: nn.Module, batch: Batch) -> None:
        shape = tuple(self.output(model, batch.inputs).shape)
        if shape != (len(batch), self.classes):
            raise ValueError(f"gives outputs of shape {shape} for {len(batch)} images and {self.classes} classes")

    def metadata(self) -> dict[str, Any]:
        counts = tuple(self.images_C)
        views = {"tta": self.views.tta, "tta_below": self.views.below}
        about = Metadata(classes=self.names, train_images_per_class=counts, **views)
        return about.model_dump(mode="json")


def _worst_sample(row: Sequence[float]) -> WorstSample:
    id, loss, true, predicted, probability = row
    return WorstSample(int(id), loss, {"true": int(true), "predicted": int(predicted), "probability": probability})


def _weighted(outcome: Outcome, weight_B: Weight) -> Outcome:
    """An outcome whose losses have a factor."""
    if isinstance(weight_B, float):
        return outcome
    return replace(outcome, loss_sum_B=outcome.loss_sum_B * weight_B.to(outcome.loss_sum_B))
