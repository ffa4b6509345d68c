"""The seed of the data: runs of one data seed are shown the same views in the same order, whatever they train."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fewer.testing.harness import Content, begun, one_thread, session_of, weights
from fewer.training.loop import train

CONTENT: Content = {
    "data": {"source": "digits", "test": "95%", "val": "none"},
    "augment": {"crop_padding_px": 2, "cutout_px": 3},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"batch_size": 30, "lr": 0.05},
    "select": {"method": "random", "share": 0.5},
    "stages": [{"epochs": 2, "side_px": 16}],
}


def seen(**train_keys: Any) -> tuple[list[Tensor], str]:
    """All views that a run trains on, in their order, and a hash of its last weights."""
    session = begun(session_of({**CONTENT, "train": {**CONTENT["train"], **train_keys}}))
    shown, outcome = [], session.task.outcome

    def looked_at(forward: Any, batch: Any, *rest: Any) -> Any:
        shown.append(batch.inputs.clone())
        return outcome(forward, batch, *rest)

    session.task.outcome = looked_at  # type: ignore[method-assign]
    with one_thread():
        for _ in train(session.task, session.train_data, session.run):
            pass
    return shown, weights(session)


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_views_and_order_follow_the_data_seed_and_first_weights_the_seed() -> None:
    views, last = seen(seed=3)
    of_itself, again = seen(seed=3, data_seed=3)
    assert same(of_itself, views)
    assert again == last
    of_other_weights, other = seen(seed=4, data_seed=3)
    assert same(of_other_weights, views)
    assert other != last
    assert not same(seen(seed=3, data_seed=4)[0], views)
