"""A few images that every evaluation looks at again: loaded once for each side, predicted by one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from fewer.core.types import Request

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.core.protocols import Task
    from fewer.core.types import Batch
    from fewer.data.images import ImageData


class FixedImages:
    """Some images of a split, as an evaluation sees them.

    Args:
        data: The split.
        task: Predicts.
        ids_B: Which images.
    """

    def __init__(self, data: ImageData, task: Task, ids_B: Tensor) -> None:
        self._data, self._task, self._ids_B = data, task, ids_B
        self._batches: dict[int, Batch] = {}  # by side

    def predicted(self, model: nn.Module, side_px: int, most: int) -> tuple[Batch, list[Any]]:
        """The images at a side, and what a model in evaluation mode predicts of each; at most so many answers."""
        if side_px not in self._batches:
            self._batches[side_px] = next(iter(self._data.batches([Request.evaluation(side_px, 0, self._ids_B)])))
        batch = self._batches[side_px]
        with torch.no_grad():
            return batch, self._task.predictions(model, batch, most)
