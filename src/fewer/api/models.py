"""Finished models from Python: loading one, and predicting images with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from fewer.inference.loaded import LoadedModel, load_published
from fewer.inference.predict import Prediction as Prediction
from fewer.inference.predict import answers_of
from fewer.inference.predict import predict as predicted

if TYPE_CHECKING:
    from fewer.data.listing.files import Found

Place = str | PathLike[str]


def load_model(run: Place, *, precision: str = "") -> LoadedModel:
    """The model that a run published, ready to look at images exactly as the run's evaluation did.

    `load_model(run).model` is an ordinary `torch.nn.Module` in evaluation mode, with its weights. What its inputs are
    (docs/plain-pytorch.md) and its classes are in `.about`: `classes`, `side_px`, `mean`, `std`.

    Args:
        run: A run folder, or one of the models in its `checkpoints/`.
        precision: `fp32` or another; left out: that of the run.

    Raises:
        RecipeError: There is no model.
        CheckpointError: It cannot be used.
    """
    return load_published(Path(run), precision=precision)


def predict(
    model: LoadedModel | Place, images: Place | Iterable[Place], *, top: int = 0, batch_size: int = 0
) -> Iterator[Prediction]:
    """Predicts images, preprocessed exactly as in the run's evaluation.

    Lazy: however many images there are, a few batches of them are held at a time.

    Args:
        model: A model from `load_model`, a run folder, or one of the models in its `checkpoints/`.
        images: Images and folders of images, or one of them.
        top: How many answers an image has at most: classes, or objects of a detector. Left out: as `fewer predict`, 2
            classes, 3 of a mask, 100 objects.
        batch_size: Images in one forward; left out: as in evaluation.

    Yields:
        A prediction for each image: `path`; `answer`, as `fewer predict --json` has it, such as `{"class": "cat",
        "probability": 0.98, "top": [...]}`; and, for an image that cannot be read, `fault` in place of an answer.

    Raises:
        DataError: There are no such images.
        RecipeError: There is no model.
    """
    from fewer.data.listing.files import files_of

    paths = [images] if isinstance(images, (str, PathLike)) else list(images)
    files: Iterable[Found] = files_of([Path(path) for path in paths])
    loaded = model if isinstance(model, LoadedModel) else load_model(model)
    return _answered(loaded, files, top or answers_of(loaded), batch_size)


def _answered(loaded: LoadedModel, files: Iterable[Found], top: int, batch_size: int) -> Iterator[Prediction]:
    format = loaded.task.format(top)
    for found in predicted(loaded, files, top, batch_size):
        yield found if found.fault else replace(found, answer=format.json(found.answer))
