"""Weights of 1 / p make an epoch on a part of the images go as far as one on all, whichever batches it has."""

from __future__ import annotations

import pytest
import torch

from fewer.testing.harness import Content, one_thread, session_of, trained

RUN: Content = {
    "data": {"source": "digits", "val": "none", "test": "none", "subset": 320},
    "model": {"name": "lenet5", "width": 0.2},
    "train": {
        "epochs": 1, "batch_size": 32, "lr": 1e-6, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0,
        "precision": "fp64", "schedule": "constant", "warmup": "0ep", "side_px": 20,
    },
}  # fmt: skip


def moved(select: dict[str, object]) -> torch.Tensor:
    """How the weights move in an epoch so slow that every step sees the same net."""
    content = {**RUN, "select": select}
    before, after = (each.run.workers[0].model.parameters() for each in (session_of(content), trained(content)))
    return torch.cat([(new - old).detach().double().flatten() for old, new in zip(before, after, strict=True)])


@pytest.mark.parametrize("batches", ["pack", "shrink"])
def test_an_epoch_goes_as_far_as_one_on_all(batches: str) -> None:
    with one_thread():
        plain = moved({"method": "full"})
        part = moved({"method": "random", "share": 0.5, "weights": "inclusion", "batches": batches})
    assert float(part @ plain / (plain @ plain)) == pytest.approx(1, abs=0.3)
