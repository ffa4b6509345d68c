"""What a model that was handed over says about images that nobody has labelled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch

from fewer.data.listing.files import Files, Found
from fewer.data.listing.splits import Split
from fewer.data.one_pass import Chunk, evaluation_batch_size, once
from fewer.inference.evaluate import LoadedModel

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Prediction:
    """An image's most probable classes.

    Attributes:
        path: The image's file.
        top: Index and probability of classes, the most probable first; empty for an image that cannot be read.
        fault: Why it cannot be read; else "".
    """

    path: str
    top: tuple[tuple[int, float], ...]
    fault: str = ""


def predict(handed: LoadedModel, files: Iterable[Found], top: int = 2, batch_size: int = 0) -> Iterator[Prediction]:
    """Predicts images in the order given, preprocessed exactly as evaluation does.

    Lazy: however many images there are, a few batches of them are held at a time.

    Args:
        handed: The model, from `fewer.inference.evaluate.load_published`.
        files: Which images, such as `fewer.data.listing.files.files_of` finds.
        top: How many classes are told for each image.
        batch_size: Images in one forward; left out: as in evaluation. Results do not depend on it but for rounding.

    Yields:
        One prediction an image; images that cannot be read have a fault in place of classes.
    """
    size = batch_size or evaluation_batch_size(handed.side_px)
    for chunk in once(_splits(files, size), handed.side_px, handed.inputs):
        yield from _predictions(handed, chunk, min(top, len(handed.about.classes)))


def _splits(files: Iterable[Found], size: int) -> Iterator[Split]:
    remaining = iter(files)
    while found := list(islice(remaining, size)):
        ids = torch.arange(len(found))
        yield Split(Files(found), ids, torch.zeros_like(ids), [""])


def _predictions(handed: LoadedModel, chunk: Chunk, top: int) -> Iterator[Prediction]:
    faults = {image.id: image.reason for image in chunk.damaged}
    best: dict[int, tuple[tuple[int, float], ...]] = {}
    if chunk.batch is not None:
        p_BK, class_BK = probabilities(handed.task.predict(handed.model, chunk.batch.inputs)).topk(top, dim=1)
        rows = zip(chunk.batch.ids_B.tolist(), class_BK.tolist(), p_BK.tolist(), strict=True)
        best = {id: tuple(zip(classes, values, strict=True)) for id, classes, values in rows}
    for id, path in enumerate(chunk.split.source.names):
        yield Prediction(path, best.get(id, ()), faults.get(id, ""))


def probabilities(logits_BC: Tensor) -> Tensor:
    """Softmax over the classes; half precision is widened to float32."""
    wide = torch.float64 if logits_BC.dtype == torch.float64 else torch.float32
    return torch.softmax(logits_BC, dim=1, dtype=wide)
