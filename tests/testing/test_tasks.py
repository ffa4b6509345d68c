"""The conformance kit for tasks: it passes classification and a second task, and names each promise that is broken.

The second task says of each pixel whether it is bright. Its targets are masks of their own, so they travel as `Ragged`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fewer.core.drawing.masks import mask_png
from fewer.core.evaluation import LOSS, Evaluation, Metric, WorstSample
from fewer.core.observation import Column, Outcome, observe
from fewer.core.protocols import Comm
from fewer.core.ragged import Ragged, Values, dense
from fewer.core.types import At, Batch, Caption, Forward, Request, Stage
from fewer.core.worst import worst_rows
from fewer.data.images import ImageData
from fewer.session.build import build_optimizer
from fewer.sync.comm import SingleProcess
from fewer.tasks.classify.task import Classify
from fewer.tasks.classify.tta import Views
from fewer.testing import Violation, check_task
from fewer.testing.harness import session_of
from fewer.training.loop import train

SIDE_PX = 8
ACCURACY = Metric("pixel_accuracy", "pixel accuracy")


class Bright:
    """Says of each pixel whether it is bright."""

    name = "bright"
    primary, step_metrics = ACCURACY, (ACCURACY,)
    scoring_mode: Literal["eval", "train"] = "eval"

    def prepare(self, model: nn.Module, stage: Stage, epoch: int) -> None:
        return

    def outcome(self, forward: Forward, batch: Batch, at: At, columns: Sequence[Column] = ()) -> Outcome:
        logit_BHW = self.output(forward, batch.inputs)
        loss_B, right_B, count_B = self.sums(logit_BHW, batch.targets)
        with torch.no_grad():
            share_B = right_B / count_B
            score_B = torch.exp(-loss_B / count_B)
        metrics, further = {ACCURACY.name: share_B}, observe(columns, logit_BHW, batch)
        return Outcome(loss_B, count_B, score_B, share_B > 0.5, metrics, further)

    def sums(self, logit_BHW: Tensor, mask_BHW: Values) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, right pixels and pixels of each image."""
        pairs = list(zip(logit_BHW, mask_BHW, strict=True))
        losses = [binary_cross_entropy_with_logits(logit, mask.double(), reduction="sum") for logit, mask in pairs]
        right = [((logit > 0) == mask).sum() for logit, mask in pairs]
        return (
            torch.stack(losses),
            torch.stack(right),
            torch.tensor([mask.numel() for _, mask in pairs], device=logit_BHW.device),
        )

    def output(self, forward: Forward, inputs: Values) -> Tensor:
        logit_BHW: Tensor = forward(dense(inputs))[:, 0]
        return logit_BHW

    @torch.no_grad()
    def predict(self, model: nn.Module, inputs: Values) -> Tensor:
        return self.output(model, inputs)

    def predictions(self, model: nn.Module, batch: Batch, most: int) -> list[Any]:
        return list(self.predict(model, batch.inputs) > 0)

    def format(self, most: int) -> BrightFormat:
        return BrightFormat()

    @torch.no_grad()
    def evaluate(self, model: nn.Module, batches: Iterable[Batch], comm: Comm) -> Evaluation:
        model.eval()
        sums, rows = torch.zeros(3, dtype=torch.float64), [torch.empty(0, 2, dtype=torch.float64)]
        for batch in batches:
            parts = self.sums(self.predict(model, batch.inputs), batch.targets)
            sums += torch.stack([part.sum().double() for part in parts])
            rows.append(torch.stack([batch.ids_B.double(), parts[0].double()], dim=1))
        comm.all_reduce(sums)
        worst = [WorstSample(int(id), loss) for id, loss in worst_rows(torch.cat(rows), comm).tolist()]
        loss, right, count = sums.tolist()
        return Evaluation({ACCURACY.name: right / count, "loss": loss / count}, {"pixels": int(count)}, worst)

    def dummy_batch(self, side_px: int, device: torch.device, dtype: torch.dtype) -> Batch:
        images = torch.empty(2, 3, side_px, side_px, device=device, dtype=dtype)
        return Batch(torch.arange(2), images, Ragged(tuple(torch.ones(2, side_px, side_px, device=device).bool())))

    def dry_run(self, model: nn.Module, batch: Batch) -> None:
        self.predict(model, batch.inputs)

    def metadata(self) -> dict[str, Any]:
        return {"name": "bright", "classes": ["dark", "bright"]}


class BrightFormat:
    """Writes masks as the share of bright pixels, and draws them in white."""

    columns = ("bright_share",)

    def text(self, prediction: Tensor) -> str:
        return f"{self.share(prediction):.1%} bright"

    def json(self, prediction: Tensor) -> dict[str, Any]:
        return {"bright_share": self.share(prediction)}

    def cells(self, prediction: Tensor) -> list[str]:
        return [f"{self.share(prediction):.6f}"]

    def draw(self, thumbnail: Image.Image, prediction: Tensor) -> Caption:
        mask = Image.fromarray(prediction.byte().numpy() * 255).resize(thumbnail.size)
        thumbnail.paste((255, 255, 255), (0, 0), mask)
        return Caption("bright", 1, self.share(prediction))

    def mask(self, prediction: Tensor) -> bytes:
        return mask_png(prediction.byte().numpy())

    def share(self, prediction: Tensor) -> float:
        return float(prediction.double().mean())


def images() -> Batch:
    """Images and their brightest pixels."""
    torch.manual_seed(0)
    images = torch.randn(6, 3, SIDE_PX, SIDE_PX)
    return Batch(torch.arange(20, 26), images, Ragged(tuple(images.mean(1) > 0.2)))


def pixels() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv2d(3, 1, 1)


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE_PX**2, 4))


def labelled() -> Batch:
    return replace(images(), targets=torch.tensor([0, 1, 2, 3, 0, 1]))


# --- Tasks that keep all promises ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"label_smoothing": 0.1},
        {"views": Views("flip")},
        {"views": Views("flip_and_shift", 0.4)},
        {"images_C": (9, 3, 2, 1)},
    ],
)
def test_classification_conforms(settings: dict[str, Any]) -> None:
    check_task(lambda: (Classify(4, **settings), linear()), labelled())


def test_a_task_of_pixels_conforms() -> None:
    check_task(lambda: (Bright(), pixels()), images())


class Masked:
    """Images of a source with the mask of their bright pixels in place of a label."""

    def __init__(self, data: ImageData) -> None:
        self.data = data

    def batches(self, requests: Iterable[Request]) -> Iterator[Batch]:
        for batch in self.data.batches(requests):
            yield replace(batch, targets=Ragged(tuple(dense(batch.inputs).mean(1) > 0)))


@pytest.mark.parametrize("select", [{"method": "everything"}, {"method": "dbpd"}, {"method": "selective_backprop"}])
def test_a_task_of_pixels_trains_in_the_loop(select: dict[str, Any]) -> None:
    """Nothing in loop, selection and record knows that there may be labels."""
    session = session_of(
        {
            "data": {"source": "digits"},
            "model": {"name": "lenet5", "width": 0.1},
            "train": {"epochs": 3, "batch_size": 256, "lr": 0.1},
            "select": select,
        }
    )
    run, task, data, model = session.run, Bright(), Masked(session.train_data), pixels()
    run.workers[0].model, run.workers[0].optimizer = model, build_optimizer(session.plan, model)
    rows = list(train(task, data, run))
    first, last = rows[0], rows[-1]
    assert set(first.recorded()) >= {"loss", "pixel_accuracy"}
    assert first.loss is not None
    assert last.loss is not None
    assert last.loss < first.loss / 2
    requests = [Request.evaluation(32, 0, run.selection.pool_ids[:100])]
    evaluation = task.evaluate(model, data.batches(requests), SingleProcess())
    assert evaluation.scalars["pixel_accuracy"] > 0.95
    assert evaluation.tables["pixels"] == 100 * 32**2


# --- Tasks that break one promise each -------------------------------------------------------------------------------


def changed(change: Callable[[Outcome, Batch], Outcome]) -> type[Bright]:
    """One whose outcome is changed before it is given."""

    class Broken(Bright):
        def outcome(self, forward: Forward, batch: Batch, at: At, columns: Sequence[Column] = ()) -> Outcome:
            return change(super().outcome(forward, batch, at, columns), batch)

    return Broken


def with_(**methods: Any) -> type[Bright]:
    return type("Broken", (Bright,), methods)


def evaluated(change: Callable[[Evaluation], Evaluation]) -> type[Bright]:
    """One whose evaluation is changed before it is given."""

    class Broken(Bright):
        def evaluate(self, model: nn.Module, batches: Iterable[Batch], comm: Comm) -> Evaluation:
            return change(super().evaluate(model, batches, comm))

    return Broken


def formatted(**methods: Any) -> type[Bright]:
    """One whose predictions are written otherwise."""
    form = type("Broken", (BrightFormat,), methods)
    return with_(format=lambda self, most: form())


class MeanOfBatches(Bright):
    """Takes the mean over batches of their means."""

    def evaluate(self, model: nn.Module, batches: Iterable[Batch], comm: Comm) -> Evaluation:
        listed = list(batches)
        parts = [super(MeanOfBatches, self).evaluate(model, [batch], SingleProcess()).scalars for batch in listed]
        means = {name: math.fsum(part[name] for part in parts) / len(parts) for name in parts[0]}
        return replace(super().evaluate(model, listed, comm), scalars=means)


class OfThisRank(Bright):
    """Forgets the other ranks."""

    def evaluate(self, model: nn.Module, batches: Iterable[Batch], comm: Comm) -> Evaluation:
        return super().evaluate(model, batches, SingleProcess())


class Thawing(Bright):
    """Freezes with every call what the call before has thawed."""

    def prepare(self, model: nn.Module, stage: Stage, epoch: int) -> None:
        for parameter in model.parameters():
            parameter.requires_grad = not parameter.requires_grad


class Learning(Bright):
    """Learns from what it is evaluated on."""

    def evaluate(self, model: nn.Module, batches: Iterable[Batch], comm: Comm) -> Evaluation:
        with torch.no_grad():
            next(model.parameters()).mul_(0.9)
        return super().evaluate(model, batches, comm)


def shuffling(self: Bright, model: nn.Module, batches: Iterable[Batch], comm: Comm) -> Evaluation:
    torch.rand(1)
    return Bright.evaluate(self, model, batches, comm)


def neighbours(outcome: Outcome, batch: Batch) -> Outcome:
    loss_B = outcome.loss_sum_B
    return replace(outcome, loss_sum_B=loss_B + 0.1 * loss_B.roll(1))


def blind(self: Bright, forward: Forward, batch: Batch, at: At, columns: Sequence[Column] = ()) -> Outcome:
    images = torch.ones_like(dense(batch.inputs))
    return Bright.outcome(self, forward, replace(batch, inputs=images), at, columns)


def uneven(self: Bright, model: nn.Module, batch: Batch, most: int) -> list[Any]:
    logit_BHW = self.predict(model, batch.inputs)
    return list(logit_BHW > logit_BHW.mean())


BROKEN: dict[str, type[Bright]] = {
    "name is text": with_(name=""),
    "primary and step_metrics are metrics": with_(primary="pixel_accuracy"),
    "scoring_mode is eval or train": with_(scoring_mode="test"),
    "prepare is idempotent": Thawing,
    "loss_sum_B has one entry a sample": changed(lambda o, _: replace(o, loss_sum_B=o.loss_sum_B.sum())),
    "losses are finite": changed(lambda o, _: replace(o, loss_sum_B=o.loss_sum_B * torch.inf)),
    "losses carry the graph": changed(lambda o, _: replace(o, loss_sum_B=o.loss_sum_B.detach())),
    "counts are not negative": changed(lambda o, _: replace(o, count_B=-o.count_B)),
    "score_B lies in": changed(lambda o, _: replace(o, score_B=o.score_B + 1)),
    "right_B is boolean": changed(lambda o, _: replace(o, right_B=o.right_B.long())),
    "metrics are the step metrics": changed(lambda o, _: replace(o, metrics={})),
    "pixel_accuracy lies in": changed(lambda o, _: replace(o, metrics={ACCURACY.name: 100 * o.metrics[ACCURACY.name]})),
    "columns that are asked for are there": changed(lambda o, _: replace(o, columns={})),
    "of a batch is that of each sample alone": changed(
        lambda o, b: replace(o, loss_sum_B=o.loss_sum_B / len(b))
    ),
    "loss_sum_B of a batch is that of each sample alone": changed(neighbours),
    "score_B of a batch is that of each sample alone": changed(
        lambda o, _: replace(o, score_B=o.score_B / o.score_B.max())
    ),
    "the loss depends on the image": with_(outcome=blind),
    "dummy_batch lies on the device": with_(
        dummy_batch=lambda self, side_px, device, dtype: Bright.dummy_batch(self, side_px, torch.device("cpu"), dtype)
    ),
    "dummy_batch has two samples": with_(
        dummy_batch=lambda self, *given: Bright.dummy_batch(self, *given).take(slice(0, 1))
    ),
    "output is one forward": with_(
        output=lambda self, *given: (Bright.output(self, *given) + Bright.output(self, *given)) / 2
    ),
    "metadata has the task's name": with_(metadata=lambda self: {"name": "other"}),
    "metadata: JSON can hold it": with_(metadata=lambda self: {"name": "bright", "sizes": {1, 2}}),
    "random streams are left alone": with_(evaluate=shuffling),
    "the model stays as it is": Learning,
    "pixel_accuracy is among the scalars": evaluated(lambda e: replace(e, scalars={"loss": e.scalars["loss"]})),
    "loss is among the scalars": evaluated(lambda e: replace(e, scalars={ACCURACY.name: 0.5})),
    "scalars are finite": evaluated(lambda e: replace(e, scalars={**e.scalars, "miou": float("nan")})),
    "evaluate: JSON can hold it": evaluated(lambda e: replace(e, tables={"pixels": torch.tensor(3)})),
    "the worst samples come first": evaluated(lambda e: replace(e, worst=e.worst[::-1])),
    "the same numbers in uneven batches": MeanOfBatches,
    "the same numbers on 2 ranks": OfThisRank,
    "training does not make pixel_accuracy worse": with_(primary=replace(ACCURACY, higher_is_better=False)),
    "training lowers the loss": evaluated(
        lambda e: replace(e, scalars={**e.scalars, "loss": -e.scalars["loss"]})
    ),
    "predictions: one an image": with_(predictions=lambda self, *given: Bright.predictions(self, *given)[:1]),
    "prediction does not depend on the others": with_(predictions=uneven),
    "text is one line": formatted(text=lambda self, prediction: "two\nlines"),
    "format: JSON can hold it": formatted(json=lambda self, prediction: {"mask": prediction}),
    "one cell a column": formatted(columns=("bright_share", "dark_share")),
    "cells are text": formatted(cells=lambda self, prediction: [0.5]),
    "draw gives a Caption": formatted(draw=lambda self, thumbnail, prediction: Caption("bright", 1, 50.0)),
}  # fmt: skip


@pytest.mark.parametrize("promise", BROKEN)
def test_a_broken_promise_is_named(promise: str) -> None:
    with pytest.raises(Violation) as caught:
        check_task(lambda: (BROKEN[promise](), pixels()), images())
    assert promise in str(caught.value)


def test_a_list_of_targets_is_refused() -> None:
    """It would be cut to one sample without a word."""
    listed = replace(images(), targets=list(images().targets))  # type: ignore[arg-type]
    with pytest.raises(Violation, match=r"take or joined on the batch raised TypeError.*Ragged"):
        check_task(lambda: (Bright(), pixels()), listed)


def test_gradients_that_are_not_those_of_the_loss() -> None:
    """Equal losses whose graph was scaled by the batch."""

    def scaled(outcome: Outcome, batch: Batch) -> Outcome:
        loss_B = outcome.loss_sum_B
        return replace(outcome, loss_sum_B=loss_B.detach() + (loss_B - loss_B.detach()) / len(batch))

    with pytest.raises(Violation, match="gradients of parts add up"):
        check_task(lambda: (changed(scaled)(), pixels()), images())


def test_a_loss_that_is_better_low_may_decide() -> None:
    check_task(lambda: (with_(primary=LOSS)(), pixels()), images())


def test_a_model_in_train_mode_does_not_mix_samples_unnoticed() -> None:
    """BatchNorm over a batch makes each sample depend on the others: what `scoring_mode` is for."""

    def model() -> nn.Module:
        return nn.Sequential(nn.BatchNorm2d(3), pixels())

    check_task(lambda: (Bright(), model()), images())
    with pytest.raises(Violation, match="each sample alone"):
        check_task(lambda: (with_(scoring_mode="train")(), model()), images())
