"""The linear schedule against torch's own."""

from __future__ import annotations

from torch.optim import lr_scheduler

from torch_schedules import STEPS, close, optimizer, rate, stepped


def test_linear_equals_torchs() -> None:
    sgd = optimizer()
    rates = [lr for lr, _ in stepped(sgd, lr_scheduler.LinearLR(sgd, 1.0, 0.1, STEPS))]
    linear = rate("linear", warmup="0%", final=0.1)
    assert [linear(k / STEPS) for k in range(STEPS)] == close(rates)
