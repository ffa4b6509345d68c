"""Classification with precision and recall of each image, for methods that ask a task for such columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from fewer.core.observation import Column
from fewer.core.ragged import dense
from fewer.core.types import Batch
from fewer.tasks.classify.task import Classify


def precision(output: Tensor, batch: Batch) -> Tensor:
    """The probability of the true class."""
    return output.softmax(1).gather(1, dense(batch.targets)[:, None])[:, 0]


def recall(output: Tensor, batch: Batch) -> Tensor:
    """A little more than that, so that precision is the lower one."""
    return (precision(output, batch) + 0.1).clamp(max=1)


@contextmanager
def told(in_training: bool = False) -> Iterator[None]:
    """Classification tells precision and recall for a while."""
    task: Any = Classify
    task.columns = {
        "precision": Column("precision", precision, in_training=in_training),
        "recall": Column("recall", recall, in_training=in_training),
    }
    try:
        yield
    finally:
        del task.columns


def known(precision_N: list[float], recall_N: list[float]) -> dict[str, Tensor]:
    """Columns as a look leaves them."""
    return {"precision": torch.tensor(precision_N), "recall": torch.tensor(recall_N)}
