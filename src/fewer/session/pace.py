"""The pace of a run: images a second in an epoch, and the time that is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fewer.session.build import Session
    from fewer.training.loop import Row


class Pace:
    """Follows the batches of one process, from wherever its run stands.

    The rate is that of the epoch so far, without evaluations and the like: behind its last batch it is the epoch's own.
    The time left is what this process has taken, in proportion to the arithmetic that is still to come: an epoch of
    small images counts less.

    Attributes:
        images_per_second: Candidates of the epoch so far over the seconds of their batches.
        seconds_left: Until the run is done, evaluations included.
    """

    def __init__(self, session: Session) -> None:
        self.images_per_second = self.seconds_left = 0.0
        self._session, self._ledger, cursor = session, session.run.ledger, session.run.cursor
        self._began_s = self._ledger.total_seconds
        self._epoch_began_s = self._ledger.training_seconds
        self._first = self._work(cursor.epoch)
        self._candidates = 0

    def add(self, row: Row) -> None:
        """Takes in a batch."""
        self._candidates += row.candidates
        training_s = self._ledger.training_seconds
        self.images_per_second = self._candidates / max(1e-9, training_s - self._epoch_began_s)
        done = self._work(row.epoch + (row.batch + 1) / row.batches)
        left = self._work(self._session.plan.epochs) - done
        self.seconds_left = (self._ledger.total_seconds - self._began_s) * left / max(1e-9, done - self._first)
        if row.epoch_end:
            self._candidates, self._epoch_began_s = 0, training_s

    def _work(self, epochs: float) -> float:
        """The arithmetic of so many epochs' training, without selection."""
        budget = self._session.plan.budget
        flops = [budget.work(epoch) for epoch in range(budget.epochs)]
        whole = int(epochs)
        started = (epochs - whole) * flops[whole] if whole < len(flops) else 0.0
        return sum(flops[:whole]) + started
