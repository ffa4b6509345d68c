"""The moving average of the weights."""

from __future__ import annotations

import pytest
import torch

from fewer.optim.averaging.ema import Ema
from fewer.testing.harness import session_of
from fewer.training.loop import train


def test_the_averages_half_life_is_counted_in_samples() -> None:
    """Four steps on 25 samples forget as much as one on 100; after a half-life an old weight counts half."""
    start, target = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    small, large, half = Ema(start, 80.0), Ema(start, 80.0), Ema(start, 80.0)
    for _ in range(4):
        small.update([target], 25, 1, 0.0)
    large.update([target], 100, 1, 0.0)
    half.update([target], 80, 1, 0.0)
    for name, value in target.state_dict().items():
        assert torch.allclose(small.average[name], large.average[name])
        assert torch.allclose(half.average[name], (start.state_dict()[name] + value) / 2)


def test_a_half_life_counts_samples_over_stages_of_other_batch_sizes() -> None:
    """Weights that stand still, and an average that began one above them: what is left of that one."""
    session = session_of(
        {
            "data": {"source": "digits", "test": "90%", "val": "none"},
            "model": {"name": "lenet5", "width": 0.1},
            "train": {"lr": 1e-30, "weight_decay": 0.0, "precision": "fp64", "ema": "2ep", "accumulate": 2},
            "stages": [
                {"epochs": 1, "side_px": 16, "batch_size": 12},
                {"epochs": 2, "side_px": 20, "batch_size": 60, "data_share": 0.4, "lr_ramp": "1ep"},
                {"epochs": 1, "side_px": 16, "batch_size": 30, "frozen": "50%"},
            ],
        }
    )
    run = session.run
    ema, images = run.averages["ema"], len(run.selection.pool_ids)
    assert isinstance(ema, Ema)
    for value in ema.average.values():
        value += 1
    for row in train(session.task, session.train_data, run):
        if row.epoch_end:
            left = 0.5 ** (run.ledger.total("samples_backpropagated") / (2 * images))
            for name, value in run.workers[0].model.state_dict().items():
                assert torch.allclose(ema.average[name] - value, torch.full_like(value, left), atol=1e-12)
    assert run.ledger.total("samples_backpropagated") == pytest.approx(2.8 * images, abs=3)
