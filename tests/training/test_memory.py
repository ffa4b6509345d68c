"""Steps that do not fit into memory: done again in micro-batches, as if these had been asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from fewer.core.errors import ResourceError
from fewer.session.amendments import Amendments
from fewer.testing.harness import one_thread, session_of
from fewer.training.loop import train
from fewer.training.memory import agree
from fewer.training.run import ACCUMULATE, state_digest

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "95%", "val": "none"},
    "model": {"name": "cnn", "width": 0.125},
    "stages": [{"epochs": 2, "side_px": 16}],
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def session(most: int = 1000, accumulate: int = 1, at_call: int = 0) -> Any:
    """A run whose model holds at most so many images, from a certain call on; it fails behind its first layers."""
    made = session_of({**CONTENT, "train": {"batch_size": 20, "accumulate": accumulate}})
    calls = [0]

    def full(module: torch.nn.Module, inputs: Any) -> None:
        calls[0] += 1
        if calls[0] > at_call and len(inputs[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nAnd more.")

    last = [module for module in made.run.workers[0].model.modules() if isinstance(module, torch.nn.Linear)][-1]
    last.register_forward_pre_hook(full)
    return made


def weights(made: Any) -> str:
    return state_digest(dict(made.run.workers[0].model.state_dict()))


def rows(made: Any) -> list[Any]:
    return [(row.loss, row.kept, row.step) for row in train(made.task, made.train_data, made.run)]


def test_a_run_out_of_memory_becomes_the_run_with_micro_batches_bit_for_bit() -> None:
    asked, short = session(accumulate=4), session(most=5)
    assert rows(short) == rows(asked)
    assert weights(short) == weights(asked), "BatchNorm's statistics included"
    assert short.run.amendments[ACCUMULATE] == {
        "old": "1",
        "new": "4",
        "reason": "batches of 20 images of 16 px do not fit into memory in fewer parts",
    }
    assert ACCUMULATE not in asked.run.amendments
    assert short.run.ledger.counts[0] == asked.run.ledger.counts[0], "the work that counts is the same"


def test_what_was_observed_of_a_failed_attempt_counts_once() -> None:
    asked, short = session(accumulate=2), session(most=10)
    rows(asked)
    rows(short)
    assert torch.equal(short.run.selection.table.visits_N, asked.run.selection.table.visits_N)
    torch.testing.assert_close(
        short.run.selection.table.loss_N, asked.run.selection.table.loss_N, rtol=0, atol=0, equal_nan=True
    )


def test_it_stays_so_and_a_resumed_run_keeps_it() -> None:
    first, whole = session(most=10, at_call=2), session(most=10, at_call=2)
    rows(whole)
    for number, _ in enumerate(train(first.task, first.train_data, first.run)):
        if number == 3:
            break
    assert first.run.micro_batches == 2
    resumed = session()
    resumed.run.load_state_dict(first.run.state_dict())
    assert resumed.run.micro_batches == 2
    rows(resumed)
    assert weights(resumed) == weights(whole)


def test_a_model_that_holds_no_two_images_is_an_error() -> None:
    made = session(most=1)
    with pytest.raises(
        ResourceError, match=r"not even in \d+ parts \(CUDA out of memory. Tried to allocate 2.00 GiB.\)"
    ):
        rows(made)


def test_all_processes_take_the_most_parts_that_one_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    made = session(most=10)
    run = made.run

    class Others:
        world_size, rank = 1, 0

        def gather(self, tensor: torch.Tensor) -> torch.Tensor:
            return torch.cat([tensor, torch.tensor([3])])

    seen = []

    def agreed(run: Any, step: Any) -> None:
        monkeypatch.setattr(run, "comm", Others())
        agree(run, step)
        seen.append(run.micro_batches)
        monkeypatch.undo()

    monkeypatch.setattr("fewer.training.step.agree", agreed)
    next(iter(train(made.task, made.train_data, run)))
    assert seen == [3], "two here, three elsewhere"


def test_every_time_that_more_parts_are_needed_is_recorded_and_none_twice() -> None:
    made, kept, said = session(most=10), list[dict[str, Any]](), list[str]()
    follower = Amendments(made, kept.append, said.append)
    for number, _ in enumerate(train(made.task, made.train_data, made.run)):
        follower.after_batch()
        if number == 2:
            made.run.amendments[ACCUMULATE]["new"] = "5"
    assert [(row["kind"], row["key"], row["old"], row["new"]) for row in kept] == [
        ("amendment", ACCUMULATE, "1", "2"),
        ("amendment", ACCUMULATE, "1", "5"),
    ]
    assert len(said) == 2
    resumed = Amendments(made, kept.append, said.append)
    resumed.restored()
    resumed.after_batch()
    assert len(kept) == 2
