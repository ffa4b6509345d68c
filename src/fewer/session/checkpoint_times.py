"""When a run is saved: behind so many steps or epochs, or when so many minutes have passed."""

from __future__ import annotations

import math
import time

import torch

from fewer.core.protocols import Comm
from fewer.plan.plan import Plan
from fewer.training.loop import Row


class CheckpointTimes:
    """Says behind which batches a run is saved: `out.checkpoint_every`, and where `out.keep_at` keeps one.

    Args:
        comm: The processes that are saved together.
    """

    def __init__(self, comm: Comm) -> None:
        self.comm = comm
        self.saved()

    def saved(self) -> None:
        """Counts minutes from now on."""
        self._saved_at = time.monotonic()

    def is_due(self, row: Row, plan: Plan) -> bool:
        """Whether a run of this plan is saved behind this batch, the same on every process."""
        every = plan.recipe.out.checkpoint_every
        if row.epoch_end and row.epoch + 1 in plan.kept_epochs:
            return True
        if every.unit == "min":
            # Clocks differ: rank 0 decides for all.
            passed = time.monotonic() - self._saved_at >= 60 * every.value
            due = torch.tensor([float(self.comm.rank == 0 and passed)])
            self.comm.all_reduce(due)
            return bool(due > 0)
        if every.unit == "step":
            steps = max(1, round(every.value))
            return row.step // steps > (row.step - row.steps) // steps
        length = every.in_epochs(plan.epochs)
        here, before = (row.epoch + (row.batch + done) / row.batches for done in (1, 0))
        return math.floor(here / length + 1e-9) > math.floor(before / length + 1e-9)
