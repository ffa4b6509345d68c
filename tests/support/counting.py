"""Counts of what a session does, from outside, to hold against its ledger."""

from __future__ import annotations

from typing import Any

import torch

from fewer.core.types import At
from fewer.session.build import Session


class Counted:
    """Counts from outside what passes a session's task and data, whatever model it is for."""

    def __init__(self, session: Session) -> None:
        self.forwarded = self.backpropagated = self.loaded = 0
        outcome, batches = session.task.outcome, session.train_data.batches

        def seen(forward: Any, batch: Any, at: At, columns: Any = ()) -> Any:
            self.forwarded += len(batch)
            self.backpropagated += len(batch) * torch.is_grad_enabled()
            return outcome(forward, batch, at, columns)

        def loading(requests: Any) -> Any:
            for batch in batches(requests):
                self.loaded += len(batch)
                yield batch

        session.task.outcome = seen  # type: ignore[method-assign]
        session.train_data.batches = loading  # type: ignore[method-assign]
