"""Golden losses: a change that only restructures leaves every step's loss as it was.

`FEWER_GOLDEN=rewrite make test PYTEST=tests/golden` writes them again; say in the commit why they may change.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fewer.testing.harness import one_thread, trained

FILE = Path(__file__).with_name("losses.json")
DATA = {"source": "digits", "test": "90%", "val": "none"}
TRAIN = {"batch_size": 32, "lr": 0.05, "precision": "fp32", "channels_last": "no"}
SMALL = {"name": "lenet5", "width": 0.2}
CASES: dict[str, dict[str, Any]] = {
    "plain": {"model": SMALL, "train": {**TRAIN, "epochs": 2}},
    # No whitening: grey digits leave eight of twelve eigenvalues equal, and each processor picks a basis of its own.
    "airbench's ways": {
        "model": {"name": "cnn", "width": 0.1},
        "augment": {"crop_padding_px": 2, "padding": "reflect", "flip": "alternating", "cutout_px": 4},
        "train": {**TRAIN, "label_smoothing": 0.2, "norm_lr_scale": 8, "lookahead": {"every_steps": 2, "start": "1ep"}},
        "stages": [{"epochs": 1, "side_px": 16}, {"epochs": 1, "side_px": 20, "batch_size": 20}],
    },
    "random": {
        "model": SMALL,
        "train": {**TRAIN, "epochs": 3},
        "select": {"method": "random", "share": 0.4, "revision": "1ep"},
    },
    "dbpd stale": {
        "model": SMALL,
        "train": {**TRAIN, "epochs": 3, "ema": "0.5ep", "clip_norm": 1.0},
        "select": {"method": "dbpd", "threshold": 0.11, "refresh_every": 2, "guards": "off"},
    },
    "dbpd fresh": {
        "model": SMALL,
        "train": {**TRAIN, "epochs": 2, "accumulate": 2},
        "select": {"method": "dbpd", "score": "fresh", "threshold": 0.11, "guards": "off"},
    },
}


def losses(content: dict[str, Any]) -> list[float | None]:
    found: list[float | None] = []
    with one_thread():
        trained({"data": DATA, **content}, look=lambda session, row: found.append(row.loss))
    return found


@pytest.mark.parametrize("name", CASES)
def test_losses_are_as_they_were(name: str) -> None:
    now = losses(CASES[name])
    golden = json.loads(FILE.read_text()) if FILE.exists() else {}
    if os.environ.get("FEWER_GOLDEN") == "rewrite":
        FILE.write_text(json.dumps({**golden, name: now}, indent=1) + "\n")
        return
    assert len(now) == len(golden[name])
    for step, (ours, theirs) in enumerate(zip(now, golden[name], strict=True)):
        # Other processors add in another order, and training amplifies that from step to step.
        expected = theirs if theirs is None else pytest.approx(theirs, rel=1e-4 * 1.25**step)
        assert ours == expected, f"batch {step}"
