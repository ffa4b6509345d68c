"""Precision and recall of single images on examples by hand."""

from __future__ import annotations

import torch

from fewer.core.abilities import HasColumns
from fewer.core.detection import Detected, Detections
from fewer.core.observation import observe
from fewer.core.ragged import Ragged
from fewer.core.types import Batch
from fewer.tasks import detect


def boxes(*corners: tuple[float, float, float, float]) -> torch.Tensor:
    return torch.tensor(corners, dtype=torch.float32).view(-1, 4)


def test_each_object_is_found_once_by_the_surest() -> None:
    one, two = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0)
    off = (20.0, 4.0, 30.0, 14.0)  # IoU 6 / 14
    targets = [
        {"boxes": boxes(one, two), "labels": torch.tensor([0, 1])},
        {"boxes": boxes(one, two), "labels": torch.tensor([0, 1])},
        {"boxes": boxes(), "labels": torch.zeros(0, dtype=torch.int64)},
        {"boxes": boxes(), "labels": torch.zeros(0, dtype=torch.int64)},
        {"boxes": boxes(one), "labels": torch.tensor([0])},
    ]
    found = [
        Detections(boxes(one, one, two), torch.tensor([0, 0, 1]), torch.tensor([0.9, 0.8, 0.7])),
        Detections(boxes(one, off), torch.tensor([1, 1]), torch.tensor([0.9, 0.8])),
        Detections(boxes(), torch.zeros(0, dtype=torch.int64), torch.zeros(0)),
        Detections(boxes(one), torch.tensor([0]), torch.tensor([0.9])),
        Detections(boxes(), torch.zeros(0, dtype=torch.int64), torch.zeros(0)),
    ]
    batch = Batch(torch.arange(5), torch.zeros(5, 3, 4, 4), Ragged(tuple(targets)))
    task, output = detect.plain(("cat", "dog")), Detected(2, lambda limits: found)
    assert isinstance(task, HasColumns)
    seen = observe([task.columns["precision"], task.columns["recall"]], output, batch)
    assert seen["precision"].tolist() == [2 / 3, 0, 1, 0, 0]
    assert seen["recall"].tolist() == [1, 0, 1, 1, 0]
