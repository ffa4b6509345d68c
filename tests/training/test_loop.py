"""The loop's own duties: averages end with the epoch, and rows say what was stepped on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from fewer.testing.harness import one_thread, session_of, trained
from fewer.training.loop import train

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "95%", "val": "none"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"batch_size": 30, "lr": 0.05, "schedule": "constant", "warmup": "0%"},
    "stages": [{"epochs": 2, "side_px": 16}],
}


class Zeroes:
    """An average that replaces the weights by zeros at the end of each epoch."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def update(self, models: Sequence[nn.Module], samples: int, step: int, progress: float) -> None:
        self.calls.append("step")

    def end_epoch(self, models: Sequence[nn.Module]) -> None:
        self.calls.append("end")
        with torch.no_grad():
            for parameter in models[0].parameters():
                parameter.zero_()


def test_averages_end_every_epoch_before_its_last_row_is_seen() -> None:
    session, zeroes = session_of(CONTENT), Zeroes()
    session.run.averages = {"zeroes": zeroes}
    with one_thread():
        for row in train(session.task, session.train_data, session.run):
            is_zero = not any(parameter.any() for parameter in session.run.workers[0].model.parameters())
            assert is_zero == row.epoch_end
    assert zeroes.calls == ["step", "step", "step", "end"] * 2


def test_slow_weights_take_the_place_of_the_fast_ones_when_an_epoch_ends() -> None:
    content = {**CONTENT, "train": {**CONTENT["train"], "lookahead": {"every_steps": 2, "start": "0ep"}}}

    def look(session: Any, row: Any) -> None:
        if row.epoch_end:
            slow = session.run.averages["lookahead"].slow
            weights = session.run.workers[0].model.state_dict()
            assert slow
            assert all(torch.equal(weights[name], value) for name, value in slow.items())

    with one_thread():
        trained(content, look=look)


def test_a_step_that_is_skipped_is_counted_once() -> None:
    """A method that keeps nothing of a batch, without a packer: one skipped step a batch."""
    session = session_of(CONTENT)
    selector = session.run.selection.selector

    def nothing(seen_G: Any, at: Any) -> Any:
        kept = keep(seen_G, at)
        kept.mask_G[:] = at.progress > 0
        return kept

    keep = selector.keep
    selector.keep, selector.in_batch, selector.packs = nothing, lambda at: True, False
    with one_thread():
        rows = list(train(session.task, session.train_data, session.run))
    assert [row.steps for row in rows] == [0, 1, 1, 1, 1, 1]
    assert rows[0].loss is None
    assert session.run.ledger.total("skipped_steps") == 1
