"""Schedules against torch's own, stepped beside them; momentum too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from fewer.optim.schedules import SCHEDULES, Shape, cosine, linear, one_cycle, one_cycle_momentum, step

STEPS = 40  # batches of the run


def optimizer() -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)


def stepped(sgd: torch.optim.SGD, schedule: Any, steps: int = STEPS) -> list[tuple[float, float]]:
    """Learning rate and momentum at each step of torch's schedule."""
    seen = []
    for _ in range(steps):
        group = sgd.param_groups[0]
        seen.append((float(group["lr"]), float(group["momentum"])))
        sgd.step()
        schedule.step()
    return seen


def close(values: list[float]) -> Any:
    return pytest.approx(values, rel=1e-9, abs=1e-12)


def test_linear_equals_torchs() -> None:
    sgd = optimizer()
    rates = [lr for lr, _ in stepped(sgd, lr_scheduler.LinearLR(sgd, 1.0, 0.1, STEPS))]
    assert [linear(k / STEPS, Shape(final=0.1)) for k in range(STEPS)] == close(rates)


@pytest.mark.parametrize("up", [0, 8])
def test_cosine_equals_torchs_behind_its_warm_up(up: int) -> None:
    sgd = optimizer()
    schedule: Any = lr_scheduler.CosineAnnealingLR(sgd, T_max=STEPS - up, eta_min=0.05)
    if up:
        rising = lr_scheduler.LinearLR(sgd, 0.2, 1.0, up)
        schedule = lr_scheduler.SequentialLR(sgd, [rising, schedule], [up])
    shape = Shape(warmup=up / STEPS, start=0.2, final=0.05)
    ours = [cosine(k / STEPS, shape) for k in range(STEPS)]
    assert ours == close([lr for lr, _ in stepped(sgd, schedule)])
    assert cosine(1.0, shape) == pytest.approx(0.05)


@pytest.mark.parametrize(("epochs", "every"), [(10, 3), (7, 2), (90, 30)])
def test_step_equals_torchs_stepped_once_an_epoch(epochs: int, every: int) -> None:
    sgd = optimizer()
    rates = [lr for lr, _ in stepped(sgd, lr_scheduler.StepLR(sgd, every, gamma=0.3), epochs)]
    for epoch, rate in enumerate(rates):
        for batch in range(7):
            progress = (epoch + batch / 7) / epochs
            assert step(progress, Shape(every=every / epochs, gamma=0.3)) == pytest.approx(rate, rel=1e-9)


def test_step_at_milestones_equals_torchs() -> None:
    sgd = optimizer()
    rates = [lr for lr, _ in stepped(sgd, lr_scheduler.MultiStepLR(sgd, [4, 9], gamma=0.2), 12)]
    assert [step(epoch / 12, Shape(at=(4 / 12, 9 / 12), gamma=0.2)) for epoch in range(12)] == close(rates)


@pytest.mark.parametrize("peak", [0.25, 0.3, 0.5])
def test_one_cycle_equals_torchs_with_its_momentum(peak: float) -> None:
    """torch ends at step `total_steps` - 1 and peaks at `pct_start` * `total_steps` - 1: both are shifted by one."""
    total, start, final = STEPS + 1, 0.04, 0.04 / 100
    sgd = optimizer()
    schedule = lr_scheduler.OneCycleLR(
        sgd,
        1.0,
        total_steps=total,
        pct_start=(peak * STEPS + 1) / total,
        base_momentum=0.85,
        max_momentum=0.95,
        div_factor=1 / start,
        final_div_factor=100,
    )
    rates, momenta = zip(*stepped(sgd, schedule), strict=True)
    progress = [k / STEPS for k in range(STEPS)]
    assert [one_cycle(p, Shape(warmup=peak, start=start, final=final)) for p in progress] == close(list(rates))
    assert [one_cycle_momentum(p, peak, 0.85, 0.95) for p in progress] == close(list(momenta))
    assert one_cycle(1.0, Shape(warmup=peak, start=start, final=final)) == pytest.approx(sgd.param_groups[0]["lr"])


@given(
    st.sampled_from(sorted(SCHEDULES)),
    st.floats(0, 1),
    st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_every_schedule_warms_up_and_stays_in_bounds(
    name: str, progress: float, warmup: float, start: float, final: float
) -> None:
    shape = Shape(warmup, start, final, every=0.3)
    assert -1e-12 <= SCHEDULES[name](progress, shape) <= 1 + 1e-12
    if warmup:
        assert SCHEDULES[name](0.0, shape) == pytest.approx(start)
