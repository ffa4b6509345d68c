"""Promises that every task keeps, whatever it learns: tries them on a few samples, and names the one that it breaks."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from fewer.core import ragged
from fewer.core.evaluation import LOSS, WORST_SAMPLES, Evaluation, Metric
from fewer.core.observation import Column, Outcome
from fewer.core.protocols import Comm, Task
from fewer.core.ragged import Ragged, Values
from fewer.core.types import At, Batch, Caption, Stage
from fewer.sync.comm import SingleProcess
from fewer.testing.comparing import alike, equal, near, require_json, require_share, trying
from fewer.testing.scenes import stream_states
from fewer.testing.threads import on_ranks
from fewer.testing.violation import require
from fewer.training.run import state_digest

if TYPE_CHECKING:
    from torch import Tensor, nn

_AT = At(0, 1, 0.0)
_STEPS, _LR = 25, 0.01  # of training on the samples, so that metrics must get better
_MOST = 3  # answers of a prediction
Build = Callable[[], "tuple[Task, nn.Module]"]


def check_task(build: Build, batch: Batch, per_image: bool = True) -> None:
    """Raises `Violation`, an AssertionError, at the first promise that a task breaks.

    Checked are

    - batches: what is taken from one and joined again is the same;
    - outcome: one finite loss, count, score and correctness a sample, the step metrics by their names, and columns that
      are asked for; each sample's entries depend on its own image and target alone, so that they permute with the
      samples and losses of parts add up to that of the whole, gradients too;
    - evaluation: the same numbers whatever the batches and however many ranks share them, as JSON, with the primary
      metric and the loss; nothing is learnt, and no random stream moves;
    - direction: training on the samples does not make the primary metric worse, and lowers the loss;
    - predictions: one an image, as text, as JSON, as cells of a table and on a thumbnail;
    - `prepare` is idempotent, a dummy batch goes through the model on "meta", `output` is one forward, and the metadata
      is JSON.

    Args:
        build: Builds a fresh task and a small model for it, on the CPU; each check has a copy of both.
        batch: Four samples or more, whose images differ.
        per_image: Whether the task gives a loss of each image; its folder says otherwise by `PER_IMAGE_LOSSES = False`.
    """
    of_single_images = (_independence, _gradients) if per_image else ()
    fresh = build()
    for check in (_attributes, _batches, _preparation, _outcomes, *of_single_images, _dummy, _metadata,
                  _evaluations, _shares, _predictions, _direction):  # fmt: skip
        task, model = copy.deepcopy(fresh)
        check(_Scene(task, model, batch))


@dataclass
class _Scene:
    """A task, a model for it, and samples."""

    task: Task
    model: nn.Module
    batch: Batch

    @property
    def stage(self) -> Stage:
        return Stage(0, 0, 1, _side_px(self.batch.inputs), len(self.batch))

    def outcome(self, batch: Batch, columns: Sequence[Column] = ()) -> Outcome:
        """A forward without a step, with layers that draw seeded alike."""
        self.model.train(self.task.scoring_mode == "train")
        self.task.prepare(self.model, self.stage, 0)
        with torch.random.fork_rng(devices=[]), trying("outcome"):
            torch.manual_seed(0)
            return self.task.outcome(self.model, batch, _AT, columns)

    def evaluated(self, batches: Sequence[Batch]) -> Evaluation:
        with trying("evaluate"):
            return self.task.evaluate(self.model, iter(batches), SingleProcess())


def _attributes(scene: _Scene) -> None:
    task = scene.task
    require(isinstance(task.name, str) and bool(task.name), "name is text", f"it is {task.name!r}")
    metrics = (task.primary, *task.step_metrics)
    wrong = [metric for metric in metrics if not isinstance(metric, Metric)]
    require(not wrong, "primary and step_metrics are metrics", f"{wrong} are none: use fewer.core.types.Metric")
    modes = ("eval", "train")
    require(task.scoring_mode in modes, "scoring_mode is eval or train", f"it is {task.scoring_mode!r}")


def _batches(scene: _Scene) -> None:
    batch, middle = scene.batch, len(scene.batch) // 2
    with trying("take or joined on the batch"):
        again = Batch.joined([batch.take(slice(0, middle)), batch.take(torch.arange(middle, len(batch)))])
        one = batch.take(torch.tensor([1]))
    fix = "inputs and targets are a tensor with the batch as its first dimension, or Ragged"
    require(len(one.inputs) == len(one.targets) == 1, "one sample taken is a batch of one", fix)
    same = equal(again.inputs, batch.inputs) and equal(again.targets, batch.targets)
    require(same, "a batch that is taken apart and joined is the same", fix)


def _preparation(scene: _Scene) -> None:
    def state() -> tuple[Any, ...]:
        modules = [module.training for module in scene.model.modules()]
        trained = [parameter.requires_grad for parameter in scene.model.parameters()]
        return modules, trained, state_digest(dict(scene.model.state_dict()))

    scene.model.train()
    with trying("prepare"):
        scene.task.prepare(scene.model, scene.stage, 0)
        once = state()
        scene.task.prepare(scene.model, scene.stage, 0)
    fix = "set what an epoch needs (modes, frozen parameters), rather than change what is there"
    require(state() == once, "prepare is idempotent", fix)


# --- One forward ---------------------------------------------------------------------------------------------------


def _outcomes(scene: _Scene) -> None:
    size, names = len(scene.batch), [metric.name for metric in scene.task.step_metrics]
    order = Column("order", lambda output, batch: torch.arange(float(len(batch))))
    found = scene.outcome(scene.batch, [order])
    entries = {"loss_sum_B": found.loss_sum_B, "count_B": found.count_B, "score_B": found.score_B,
               "right_B": found.right_B, **found.metrics}  # fmt: skip
    for name, values in entries.items():
        require(values.shape == (size,), f"outcome: {name} has one entry a sample", f"it has {tuple(values.shape)}")
    require(bool(found.loss_sum_B.isfinite().all()), "outcome: losses are finite", "look at what the model gives")
    require(found.loss_sum_B.requires_grad, "outcome: losses carry the graph", "compute them with gradients on")
    require(bool((found.count_B >= 0).all()), "outcome: counts are not negative", "a sample without losses counts 0")
    require_share("outcome: score_B", found.score_B)
    require(found.right_B.dtype == torch.bool, "outcome: right_B is boolean", f"it is {found.right_B.dtype}")
    listed = list(found.metrics)
    require(sorted(listed) == sorted(names), "outcome: metrics are the step metrics", f"it gives {listed}, not {names}")
    for metric in scene.task.step_metrics:
        if metric.is_share:
            require_share(f"outcome: {metric.name}", found.metrics[metric.name])
    values = found.columns.get("order", torch.empty(0))
    fix = "give Outcome(columns=fewer.core.types.observe(columns, output, batch))"
    require(values.tolist() == list(range(size)), "outcome: columns that are asked for are there", fix)


def _independence(scene: _Scene) -> None:
    """Each sample's entries depend on its own image and target alone."""
    batch, size = scene.batch, len(scene.batch)
    whole = _entries(scene.outcome(batch))
    alone = [_entries(scene.outcome(batch.take(slice(i, i + 1)))) for i in range(size)]
    fix = "reduce over a sample's own losses only; the loop divides by the counts"
    for name in whole:
        together = torch.cat([entry[name] for entry in alone])
        require(near(together, whole[name]), f"outcome: {name} of a batch is that of each sample alone", fix)
    turned = torch.arange(size).flip(0)
    flipped = _entries(scene.outcome(batch.take(turned)))
    for name in whole:
        require(near(flipped[name], whole[name][turned]), f"outcome: {name} permutes with the samples", fix)
    swapped = torch.arange(size)
    swapped[1] = 0
    changed = _entries(scene.outcome(Batch(batch.ids_B, ragged.take(batch.inputs, swapped), batch.targets)))
    others = torch.arange(size) != 1
    for name in whole:
        same = near(changed[name][others], whole[name][others])
        require(same, f"outcome: another image in one place changes {name} only there", fix)
    require(
        not near(changed["loss_sum_B"], whole["loss_sum_B"]),
        "outcome: the loss depends on the image",
        "give the batch's inputs to the forward; images of the batch must differ",
    )


def _gradients(scene: _Scene) -> None:
    """The gradient of the whole is the sum of those of its parts."""

    def gradient(*parts: Batch) -> Tensor:
        scene.model.zero_grad()
        for part in parts:
            scene.outcome(part).loss_sum_B.sum().backward()
        grads = [p.grad.flatten() for p in scene.model.parameters() if p.grad is not None]
        return torch.cat(grads) if grads else torch.empty(0)

    batch, middle = scene.batch, len(scene.batch) // 2
    whole = gradient(batch)
    require(len(whole) > 0 and bool(whole.any()), "outcome: the loss has a gradient", "do not detach the output")
    parts = gradient(batch.take(slice(0, middle)), batch.take(slice(middle, None)))
    promise = "outcome: gradients of parts add up to that of the whole"
    require(near(parts, whole), promise, "sum a sample's losses, and do not divide by the batch")


def _dummy(scene: _Scene) -> None:
    meta, model = torch.device("meta"), copy.deepcopy(scene.model).to("meta")
    with trying("dummy_batch"):
        dummy = scene.task.dummy_batch(scene.stage.side_px, meta, next(model.parameters()).dtype)
    require(len(dummy) == 2, "dummy_batch has two samples", f"it has {len(dummy)}; BatchNorm needs two")
    where = {values.device.type for values in (dummy.inputs, dummy.targets)}
    require(where == {"meta"}, "dummy_batch lies on the device that is asked for", f"it lies on {sorted(where)}")
    with trying("dry_run of a dummy batch"):
        scene.task.dry_run(model, dummy)
        model.train()
        scene.task.prepare(model, scene.stage, 0)
        scene.task.outcome(model, dummy, _AT).loss_sum_B.sum().backward()
    calls = list[Any]()
    model.eval().register_forward_hook(lambda *_: calls.append(None))
    with trying("output"), torch.no_grad():
        scene.task.output(model, dummy.inputs)
    require(len(calls) == 1, "output is one forward", f"it calls the model {len(calls)} times")


def _metadata(scene: _Scene) -> None:
    with trying("metadata"):
        found = scene.task.metadata()
    require_json("metadata", found)
    require(found.get("name") == scene.task.name, "metadata has the task's name", f"it has {found.get('name')!r}")


# --- Evaluation ----------------------------------------------------------------------------------------------------


def _evaluations(scene: _Scene) -> None:
    batch, task = scene.batch, scene.task
    weights, streams = state_digest(dict(scene.model.state_dict())), stream_states()
    found = scene.evaluated([batch])
    require(stream_states() == streams, "evaluate: random streams are left alone", "draw from fewer.core.rng")
    after = state_digest(dict(scene.model.state_dict()))
    require(after == weights, "evaluate: the model stays as it is", "evaluate in eval mode")
    for metric in (task.primary, LOSS):
        promise = f"evaluate: {metric.name} is among the scalars"
        require(metric.name in found.scalars, promise, f"there are {sorted(found.scalars)}")
    lost = [name for name, value in found.scalars.items() if not math.isfinite(value)]
    require(not lost, "evaluate: scalars are finite", f"{lost} are not; leave out what is not defined")
    if task.primary.is_share:
        require_share(f"evaluate: {task.primary.name}", torch.tensor(found.scalars[task.primary.name]))
    require_json("evaluate", found.named("val", [str(i) for i in range(int(batch.ids_B.max()) + 1)]))
    losses = [sample.loss for sample in found.worst]
    least = min(len(batch), WORST_SAMPLES)
    ordered = losses == sorted(losses, reverse=True) and len(losses) == least
    fix = f"it lists losses {losses[:4]}, where {least} samples, the highest loss first, are wanted"
    require(ordered, "evaluate: the worst samples come first", fix)


def _shares(scene: _Scene) -> None:
    """The same numbers for any batches, and any number of ranks."""
    whole = scene.evaluated([scene.batch])
    for way, evaluations in _ways(scene):
        for found in evaluations:
            promise = f"evaluate: the same numbers {way} as in one batch"
            fix = "sum counts and losses over batches, then over ranks (comm.all_reduce), and divide in the end"
            require(alike(found.scalars, whole.scalars), promise, f"{found.scalars} are not {whole.scalars}; {fix}")
            require(alike(found.tables, whole.tables), f"{promise}: tables", fix)
            ids = [[sample.id for sample in each.worst] for each in (found, whole)]
            fix = "gather them (comm.gather), then sort by loss and id"
            require(ids[0] == ids[1], f"{promise}: worst samples", fix)


def _ways(scene: _Scene) -> Iterator[tuple[str, list[Evaluation]]]:
    """What each rank finds, one way to share the samples after the other."""
    batch = scene.batch
    yield "in uneven batches", [scene.evaluated([batch.take(slice(0, 1)), batch.take(slice(1, None))])]
    singles = [batch.take(slice(i, i + 1)) for i in range(len(batch))]
    for ranks in (2, len(batch) + 1):  # of the latter, one has no sample at all
        with trying(f"evaluate on {ranks} ranks"):
            evaluations = on_ranks(ranks, partial(_share_of, scene, singles))
        yield f"on {ranks} ranks", evaluations


def _share_of(scene: _Scene, batches: Sequence[Batch], comm: Comm) -> Evaluation:
    """The evaluation that a rank makes together with the others."""
    return scene.task.evaluate(scene.model, iter(batches[comm.rank :: comm.world_size]), comm)


def _direction(scene: _Scene) -> None:
    """What training improves must be better by the metric's own direction."""
    primary = scene.task.primary
    before = scene.evaluated([scene.batch]).scalars
    scene.model.train()
    scene.task.prepare(scene.model, scene.stage, 0)
    trained = [parameter for parameter in scene.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=_LR)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        outcome = scene.task.outcome(scene.model, scene.batch, _AT)
        (outcome.loss_sum_B.sum() / outcome.count_B.sum()).backward()
        optimizer.step()
    after = scene.evaluated([scene.batch]).scalars
    message = f"{_STEPS} steps on these samples took it from {{:.4g}} to {{:.4g}}"
    fix = message.format(before["loss"], after["loss"])
    require(after["loss"] < before["loss"], "evaluate: training lowers the loss", f"{fix}; look at its sign")
    fix = f"{message.format(before[primary.name], after[primary.name])}; look at Metric.higher_is_better"
    promise = f"primary: training does not make {primary.name} worse"
    require(primary.no_worse(after[primary.name], before[primary.name]), promise, fix)


# --- Predictions ---------------------------------------------------------------------------------------------------


def _predictions(scene: _Scene) -> None:
    scene.model.eval()
    size = len(scene.batch)
    with trying("predictions"), torch.no_grad():
        found = scene.task.predictions(scene.model, scene.batch, _MOST)
        alone = [scene.task.predictions(scene.model, scene.batch.take(slice(i, i + 1)), _MOST)[0] for i in range(size)]
    require(len(found) == size, "predictions: one an image", f"there are {len(found)} of {size} images")
    form = scene.task.format(_MOST)
    for prediction, other in zip(found, alone, strict=True):
        with trying("format"):
            text, shown, cells = form.text(prediction), form.json(prediction), form.cells(prediction)
            caption = form.draw(Image.new("RGB", (32, 32)), prediction)
            mask = form.mask(prediction)
        require(isinstance(text, str) and "\n" not in text, "format: text is one line", f"it is {text!r}")
        require_json("format", shown)
        promise = "predictions: an image's prediction does not depend on the others"
        require(alike(shown, form.json(other)), promise, f"{shown} became {form.json(other)}")
        promise = "format: one cell a column"
        require(len(cells) == len(form.columns), promise, f"{len(cells)} cells for {form.columns}")
        require(all(isinstance(cell, str) for cell in cells), "format: cells are text", f"they are {cells!r}")
        is_caption = isinstance(caption, Caption) and 0 <= caption.share <= 1
        require(is_caption, "format: draw gives a Caption with a share in [0, 1]", f"it gives {caption!r}")
        is_mask = mask is None or mask.startswith(b"\x89PNG")
        require(is_mask, "format: mask gives a PNG, or None", f"it gives {mask!r:.40}")


# --- Helpers -------------------------------------------------------------------------------------------------------


def _entries(outcome: Outcome) -> dict[str, Tensor]:
    found = {"loss_sum_B": outcome.loss_sum_B, "count_B": outcome.count_B, "score_B": outcome.score_B,
             "right_B": outcome.right_B, **outcome.metrics}  # fmt: skip
    return {name: values.detach().double() for name, values in found.items()}


def _side_px(inputs: Values) -> int:
    if not isinstance(inputs, Ragged):
        return inputs.shape[-1]
    first = inputs.samples[0]
    return (first["image"] if isinstance(first, dict) else first).shape[-1]
