"""The step schedule against torch's own."""

from __future__ import annotations

import pytest
from torch.optim import lr_scheduler

from torch_schedules import close, optimizer, rate, stepped


@pytest.mark.parametrize(("epochs", "every"), [(10, 3), (7, 2), (90, 30)])
def test_step_equals_torchs_stepped_once_an_epoch(epochs: int, every: int) -> None:
    sgd = optimizer()
    rates = [lr for lr, _ in stepped(sgd, lr_scheduler.StepLR(sgd, every, gamma=0.3), epochs)]
    step = rate("step", epochs, warmup="0%", step_every=f"{every}ep", step_gamma=0.3)
    for epoch, expected in enumerate(rates):
        for batch in range(7):
            assert step((epoch + batch / 7) / epochs) == pytest.approx(expected, rel=1e-9)


def test_step_at_milestones_equals_torchs() -> None:
    sgd = optimizer()
    rates = [lr for lr, _ in stepped(sgd, lr_scheduler.MultiStepLR(sgd, [4, 9], gamma=0.2), 12)]
    step = rate("step", 12, warmup="0%", step_at=["4ep", "9ep"], step_gamma=0.2)
    assert [step(epoch / 12) for epoch in range(12)] == close(rates)
