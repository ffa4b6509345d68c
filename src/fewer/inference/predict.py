"""Predictions of a published model for images without labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch

from fewer import tasks
from fewer.data.listing.files import Files, Found
from fewer.data.listing.splits import Split
from fewer.data.one_pass import Chunk, evaluation_batch_size, once
from fewer.inference.loaded import LoadedModel

_ANSWERS = {"classes": 2, "masks": 3, "boxes": 100}  # by what a task learns from


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model predicts for an image.

    Attributes:
        path: The image's file.
        answer: The task's prediction, such as the most probable classes; None for an image that cannot be read.
        fault: Why it cannot be read; else "".
        files: Paths of what was written of it, such as its "picture" and its "mask".
    """

    path: str
    answer: Any
    fault: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


def answers_of(handed: LoadedModel) -> int:
    """How many answers an image gets where nobody says: two classes, the three main classes of a mask, all boxes."""
    return _ANSWERS[tasks.module(handed.about.task.name).ANNOTATIONS]


def predict(handed: LoadedModel, files: Iterable[Found], top: int = 0, batch_size: int = 0) -> Iterator[Prediction]:
    """Predicts images in the order given, preprocessed exactly as evaluation does.

    Lazy: however many images there are, a few batches of them are held at a time.

    Args:
        handed: The model, from `fewer.inference.loaded.load_published`.
        files: Which images, such as `fewer.data.listing.files.files_of` finds.
        top: How many answers (classes, boxes) each image gets at most; left out: as `answers_of` says.
        batch_size: Images in one forward; left out: as in evaluation. Results do not depend on it but for rounding.

    Yields:
        One prediction an image; images that cannot be read have a fault in place of an answer.
    """
    size, top = batch_size or evaluation_batch_size(handed.side_px), top or answers_of(handed)
    for chunk in once(_splits(files, size), handed.side_px, handed.inputs, handed.about.depth, views=handed.views):
        yield from _predictions(handed, chunk, top)


def _splits(files: Iterable[Found], size: int) -> Iterator[Split]:
    remaining = iter(files)
    while found := list(islice(remaining, size)):
        ids = torch.arange(len(found))
        yield Split(Files(found), ids, torch.zeros_like(ids), [""])


def _predictions(handed: LoadedModel, chunk: Chunk, top: int) -> Iterator[Prediction]:
    faults = {image.id: image.reason for image in chunk.damaged}
    answers: dict[int, Any] = {}
    if chunk.batch is not None:
        found = handed.task.predictions(handed.model, chunk.batch, top)
        answers = dict(zip(chunk.batch.ids_B.tolist(), found, strict=True))
    for id, path in enumerate(chunk.split.source.names):
        yield Prediction(path, answers.get(id), faults.get(id, ""))
