"""Small runs with pictures, plots and a TensorBoard mirror, or with none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fewer.session import previews
from fewer.session.progress import Silent
from fewer.training.loop import Row

ALL = {"plots": True, "previews": True, "tensorboard": True}
NONE = dict.fromkeys(ALL, False)


def content(**out: Any) -> dict[str, Any]:
    return {
        "data": {"source": "digits", "test": "60%", "val": "60%", "cache": "no"},
        "augment": {"crop_padding_px": 2},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"batch_size": 60, "lr": 0.05, "precision": "fp32"},
        "select": {"method": "dbpd", "threshold": 0.5, "guards": {"noise_cap": 0.05}, "revision": "1ep"},
        "stages": [{"epochs": 1, "side_px": 16}, {"epochs": 2, "side_px": 20}],
        "out": {"checkpoint_every": "3step", **out},
    }


class Curious(Silent):
    """A display that draws the training images behind every batch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def row(self, row: Row, session: Any) -> None:
        previews.write_stage(session.train_data, session.plan.stage(row.epoch), self.folder)
