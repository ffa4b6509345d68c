"""An epoch in numbers and in words."""

from __future__ import annotations

import time
from typing import Any

from fewer.core.ledger import Ledger
from fewer.session.build import Session


class EpochSums:
    """Means over an epoch's rows."""

    def __init__(self, session: Session) -> None:
        self.ledger = session.run.ledger
        self.loss = self.right = 0.0
        self.kept = self.candidates = 0
        self.since = time.monotonic()

    def add(self, loss: float | None, top1: float | None, kept: int, candidates: int) -> None:
        """Adds a batch's means."""
        self.restore(loss, top1, kept)
        self.candidates += candidates

    def restore(self, loss: float | None, top1: float | None, kept: int) -> None:
        """Adds a batch that an earlier process trained on: it has no part in this one's speed."""
        self.loss += (loss or 0.0) * kept
        self.right += (top1 or 0.0) * kept
        self.kept += kept

    def line(self) -> dict[str, Any]:
        kept = max(1, self.kept)
        return {
            "loss": self.loss / kept,
            "top1": self.right / kept,
            "kept_share": self.kept / self.ledger.train_images,
            "images_per_second": self.candidates / max(1e-9, time.monotonic() - self.since),
            **costs(self.ledger),
        }


def costs(ledger: Ledger) -> dict[str, float]:
    return {
        "seconds": ledger.total_seconds,
        "fee": ledger.full_epoch_equivalents,
        "effective_epochs": ledger.effective_epochs,
    }


def in_words(line: dict[str, Any], epochs: int) -> str:
    """One line for a person; EE never without FEE and seconds."""
    parts = {"loss": f"{line['loss']:.4f}", "train top-1": f"{line['top1']:.2%}"}
    if "val_top1" in line:
        parts["val top-1"] = f"{line['val_top1']:.2%}"
    costs = {"kept": f"{line['kept_share']:.0%}", "EE": f"{line['effective_epochs']:.2f}", "FEE": f"{line['fee']:.2f}"}
    said = "  ".join(f"{name} {value}" for name, value in {**parts, **costs}.items())
    speed = f"{line['seconds']:.0f} s  {line['images_per_second']:,.0f} images/s"
    return f"epoch {line['epoch'] + 1:>3}/{epochs}  {said}  {speed}"
