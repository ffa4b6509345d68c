"""The moving average of the weights."""

from __future__ import annotations

import torch

from fewer.optim.averaging.ema import Ema


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
