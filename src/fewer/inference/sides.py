"""Evaluation of a published model at several image sides: what accuracy costs, and at which side it is best.

Random crops enlarge what they show, so a model is most accurate on larger images than those that it was trained on
(Touvron et al. 2019, "Fixing the train-test resolution discrepancy"). BatchNorm's statistics stay as published, or are
estimated again in all layers at each side, from training images, seen as an evaluation sees them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fewer import tasks
from fewer.core import rng
from fewer.core.errors import RecipeError
from fewer.core.evaluation import interval
from fewer.data.listing.splits import Split
from fewer.data.one_pass import evaluation_batch_size, evenly, once
from fewer.inference.evaluate import Opened, measured, opened, own_splits
from fewer.inference.question import Question
from fewer.models.batchnorm import has_batchnorm, reestimate
from fewer.plan.flops import sample_flops

if TYPE_CHECKING:
    from fewer.core.evaluation import Metric
    from fewer.core.types import Batch
    from fewer.inference.loaded import LoadedModel


def evaluate_sides(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    sides_px: Sequence[int],
    split: str = "test",
    batchnorm_images: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluates a published model once at every side.

    Args:
        path: A run folder, or the folder of a published model.
        overrides: `key=value` texts, as for `fewer.inference.evaluate.evaluate`.
        sides_px: Sides of the images.
        split: Which images of the run, "test" or "val".
        batchnorm_images: Training images of the run that BatchNorm's statistics are estimated from again at each side;
            0: those that were published.
        on_progress: Called with images done and images in all, over all sides.

    Returns:
        Of each side metrics, their 95 % intervals and the FLOPs of one image's forward; the best side by the metric
        that the run decides by, of equal ones the smallest; and what was measured.

    Raises:
        RecipeError: As `evaluate`; no side; the model does not take one; or it has no BatchNorm or no training images
            to estimate statistics from.
        DataError, CheckpointError: As `evaluate`.
    """
    if not sides_px:
        raise RecipeError("sides_px holds no side; give one or more, such as 32, 40, 48")
    asked = opened(path, overrides, split=split)
    models = [asked.handed.at_side(side_px) for side_px in sorted(set(sides_px))]  # all are checked before one is run
    question = Question.asked(Path(path), overrides, split)
    train = _training_images(asked, question, batchnorm_images) if batchnorm_images else None
    found = []
    for nth, handed in enumerate(models):
        if train is not None:
            handed = _renewed(handed, train)
        show = _beside(on_progress, nth, len(models))
        found.append(_row(measured(replace(asked, handed=handed), show), handed))
    key = _decisive(asked)
    best = max(found, key=lambda row: (key.sign * row["metrics"][f"{split}/{key.name}"], -row["side_px"]))
    notes = list(asked.notes)
    if split == "test" and len(found) > 1:
        notes.append("the best side was chosen on test images, which flatters its figure; choose with --split val")
    first = found[0]
    return {
        "schema": 1,
        **{name: first[name] for name in ("model", "epochs", "split", "source", "images", "damaged", "task")},
        **asked.settings,
        "published_side_px": asked.handed.about.side_px,
        "batchnorm_images": len(train) if train is not None else 0,
        "metric": f"{split}/{key.name}",
        "best_side_px": best["side_px"],
        "sides": [{name: row[name] for name in _OF_A_SIDE} for row in found],
        "notes": notes,
    }


_OF_A_SIDE = ("side_px", "forward_flops", "metrics", "intervals", "seconds")


def _row(result: dict[str, Any], handed: LoadedModel) -> dict[str, Any]:
    counting = {metric.name for metric in tasks.module(handed.task.name).METRICS if metric.counts_images}
    bounds = {
        name: list(interval(value, result["images"]))
        for name, value in result["metrics"].items()
        if name.rpartition("/")[2] in counting
    }
    # One forward in full precision, whatever the evaluation does; it is counted where nothing is computed.
    counted = copy.deepcopy(handed.model).to("meta").requires_grad_(True)
    plain_task = tasks.module(handed.task.name).plain(handed.about.classes, handed.about.aspect or 1.0)
    flops, _ = sample_flops(plain_task, counted, handed.side_px)
    return {**result, "intervals": bounds, "forward_flops": flops}


def _decisive(asked: Opened) -> Metric:
    """The metric that the run's best model was chosen by."""
    task, name = asked.handed.task, asked.recipe.evaluate.best
    if name == "auto":
        return task.primary
    metrics: tuple[Metric, ...] = tasks.module(task.name).METRICS
    return next(metric for metric in metrics if metric.name == name)


def _beside(show: Callable[[int, int], None] | None, nth: int, sides: int) -> Callable[[int, int], None] | None:
    """Progress of one side as a part of that of all."""
    return show and (lambda done, total: show(nth * total + done, sides * total))


# --- Statistics of BatchNorm ------------------------------------------------------------------------------------------


def _training_images(asked: Opened, question: Question, most: int) -> Split:
    """Training images of the model's run, drawn by its seed."""
    if not has_batchnorm(asked.handed.model):
        raise RecipeError(f"{asked.handed.folder}: this model has no BatchNorm; leave its images out")
    if asked.run is None:
        raise RecipeError(
            f"{asked.handed.folder}: this model lies outside its run, whose training images statistics are estimated "
            "from; give the run folder, or leave them as published"
        )
    train = own_splits(asked.run, question.own_recipe()).train  # not as of images that the user names
    order = rng.shuffled(train.ids_M, asked.recipe.train.seed, "bn", asked.handed.about.epochs)
    return Split(train.source, train.ids_M[order[:most]], train.label_N, train.classes)


def _renewed(handed: LoadedModel, train: Split) -> LoadedModel:
    """The model with statistics of training images at its side, in the views of an evaluation."""
    # A published model is all frozen, and frozen layers would keep their statistics.
    model, size = copy.deepcopy(handed.model).requires_grad_(True), evaluation_batch_size(handed.side_px)
    # In the order drawn: images sorted by class would make batches of one class.
    parts = (Split(train.source, ids.sort().values, train.label_N, train.classes) for ids in train.ids_M.split(size))

    def sound() -> Iterator[Batch]:
        for chunk in once(parts, handed.side_px, handed.inputs, handed.about.depth, views=handed.views):
            if chunk.batch is not None:
                yield chunk.batch

    with torch.no_grad():
        reestimate(model, evenly(sound(), size), handed.task.output)
    return replace(handed, model=model)
