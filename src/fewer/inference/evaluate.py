"""Evaluating a model that was published: on images of its own run, or on others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewer import tasks
from fewer.core.errors import CheckpointError, DataError, RecipeError
from fewer.data.decode.on_request import DamagedImage
from fewer.data.listing.presence import unusable_masks
from fewer.data.listing.splits import open_given
from fewer.data.one_pass import chunks, evaluation_batch_size, evenly, once
from fewer.data.stores.decoding import too_damaged
from fewer.inference.loaded import LoadedModel, load_published
from fewer.inference.question import OTHERS, Question
from fewer.machine.device import device_kind
from fewer.machine.precision import auto_precision, native_bf16
from fewer.models.published import ModelMetadata, open_model
from fewer.runs.folder import RunFolder
from fewer.runs.published import unfinished
from fewer.session.build import open_data
from fewer.session.resume import refuse_other_data
from fewer.sync.comm import SingleProcess

if TYPE_CHECKING:
    from fewer.core.types import Batch
    from fewer.data.listing.splits import Split, Splits
    from fewer.recipe.schema import Recipe


def evaluate(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    split: str = "test",
    side_px: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluates the model that a run published; on the run's own images, `result.json`'s numbers come out again.

    Args:
        path: A run folder, or the folder of a published model.
        overrides: `key=value` texts; keys are those of `fewer.inference.question`, and those of `[task]` that
            the task lets an evaluation change. `data.test` names a source to evaluate on.
        split: Which images of the run, "test" or "val".
        side_px: Side of the images; left out: that of the run's evaluations.
        on_progress: Called with images done and images in all.

    Returns:
        Metrics and tables under the names that `result.json` has, and what they were measured on.

    Raises:
        RecipeError: No model at this path, a key that cannot change, or the run has no such images.
        DataError: There are no images, or they are damaged, of unknown classes, or no longer what the run began with.
        CheckpointError: The model cannot be used.
    """
    return measured(opened(path, overrides, split=split, side_px=side_px), on_progress)


@dataclass(frozen=True)
class Opened:
    """A published model beside the images that it is evaluated on.

    Attributes:
        handed: The model.
        images: What it looks at.
        split: What these are called: "test" or "val".
        recipe: That of its run, with the changed keys; of a model on its own, what is known of it.
        run: The run's folder; None for a model on its own.
        settings: Keys of `[task]` that an evaluation may change.
        notes: What the user should know.
    """

    handed: LoadedModel
    images: Split
    split: str
    recipe: Recipe
    run: Path | None
    settings: dict[str, Any]
    notes: list[str]


def opened(path: str | Path, overrides: Sequence[str] = (), *, split: str = "test", side_px: int = 0) -> Opened:
    """Model and images, ready to be measured; arguments and errors as for `evaluate`."""
    question = Question.asked(Path(path), overrides, split)
    recipe = question.recipe(_alone(question) if question.run is None else None)
    precision = recipe.train.precision
    if precision == "auto":
        device = device_kind()
        precision = auto_precision(device, native_bf16(device))
    settings = {key: getattr(recipe.task, key) for key in tasks.module(recipe.task.name).EVALUATION_KEYS}
    handed = load_published(question.folder, precision=precision, side_px=side_px, task=settings)
    notes = [note] if (note := unfinished(question.folder, handed.about.epochs)) else []
    if question.source:
        classes, data = list(handed.about.classes), recipe.data
        images = open_given(data.test, classes, "test", ("test", "val"), notes, data.opened)
    else:
        assert question.run is not None
        images = _own(question.run, recipe, handed.about, split)
    if not len(images):
        raise DataError(f"{images.source.name}: no {split} images, so there is nothing to measure; {OTHERS}")
    return Opened(handed, images, split, recipe, question.run, settings, notes)


def _alone(question: Question) -> dict[str, Any]:
    """The content of a recipe for a model on its own: what its metadata holds, and the images that it is given."""
    _, about = open_model(question.folder)
    keys = ("name", *tasks.module(about.task.name).EVALUATION_KEYS)
    return {
        "data": {"source": question.source},
        "model": about.model.model_dump(mode="json", exclude_none=True),
        "task": about.task.model_dump(mode="json", include=set(keys)),
        "train": {"precision": about.precision},
    }


def _own(run: Path, recipe: Recipe, about: ModelMetadata, split: str) -> Split:
    """The run's own images, which must be those that it began with."""
    splits = own_splits(run, recipe)
    images: Split | None = getattr(splits, split)
    if images is None:
        raise RecipeError(f"{run}: the run has no {split} images; give another --split, {OTHERS}")
    if images.classes != list(about.classes):
        raise CheckpointError(f"{run}: the model's classes are not those of the run's data; evaluate another model")
    return images


def own_splits(run: Path, recipe: Recipe) -> Splits:
    """The images of a run.

    Raises:
        DataError: They are not those that it began with.
    """
    try:
        splits = open_data(recipe)
        refuse_other_data(RunFolder(run, writes=False), splits)
    except DataError as error:
        raise DataError(f"{error}; {OTHERS}") from None
    return splits


def sound_batches(
    opened: Opened, damaged: list[DamagedImage], on_progress: Callable[[int, int], None] | None = None
) -> Iterator[Batch]:
    """The images in batches; what is damaged is listed, and with `data.damaged = "error"` ends them.

    Args:
        opened: Model and images.
        damaged: Takes in what cannot be read.
        on_progress: Called with images done and images in all.
    """
    handed, images, policy = opened.handed, opened.images, opened.recipe.data.damaged
    size, done = evaluation_batch_size(handed.side_px), 0
    if policy == "quarantine" and images.source.annotations == "masks":
        bad = unusable_masks(images.source, images.ids_M.numpy(), opened.recipe.data.cache == "auto")
        damaged.extend(bad)
        images, done = images.without(images.ids_M.new_tensor([image.id for image in bad])), len(bad)
    for chunk in once(chunks(images, size), handed.side_px, handed.inputs, handed.about.depth, views=handed.views):
        damaged.extend(chunk.damaged)
        done += len(chunk.split)
        if on_progress is not None:
            on_progress(done, len(opened.images))
        if chunk.batch is not None and not (damaged and policy == "error"):
            yield chunk.batch


def measured(opened: Opened, on_progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """What `evaluate` returns of a model and images that are open."""
    handed, images, name, policy = opened.handed, opened.images, opened.split, opened.recipe.data.damaged
    damaged: list[DamagedImage] = []
    size, total, began = evaluation_batch_size(handed.side_px), len(images), time.perf_counter()
    batches = evenly(sound_batches(opened, damaged, on_progress), size)
    evaluation = handed.task.evaluate(handed.model, batches, SingleProcess())
    if damaged and (policy == "error" or len(damaged) == total):
        raise too_damaged(images, damaged)
    metrics, tables = evaluation.named(name, images.source.names)
    return {
        "schema": 1,
        "model": str(handed.folder),
        "epochs": handed.about.epochs,
        "split": name,
        "source": images.source.name,
        "images": total - len(damaged),
        "damaged": [{"name": image.name, "reason": image.reason} for image in damaged],
        "side_px": handed.side_px,
        "precision": handed.about.precision,
        "seconds": time.perf_counter() - began,
        "task": handed.task.name,
        "classes": list(handed.about.classes),
        "metrics": metrics,
        "tables": tables,
        **opened.settings,
        "notes": opened.notes,
    }
