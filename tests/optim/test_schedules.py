"""Schedules against torch's own, stepped beside them; momentum too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from fewer.core.registry import Settings
from fewer.core.sections import section_of
from fewer.optim import lr_shape, momentum_shape
from fewer.optim.schedules import SCHEDULES
from fewer.optim.shapes import Shape
from fewer.recipe.schema import TrainRecipe

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


def train(schedule: str, **keys: Any) -> Any:
    return section_of(TrainRecipe, schedule=schedule, **keys)


def rate(schedule: str, epochs: int = 100, **keys: Any) -> Shape:
    """A schedule of a run of so many epochs, by default one in which a percentage is a number of them."""
    return lr_shape(train(schedule, **keys), epochs)


def test_linear_equals_torchs() -> None:
    sgd = optimizer()
    rates = [lr for lr, _ in stepped(sgd, lr_scheduler.LinearLR(sgd, 1.0, 0.1, STEPS))]
    linear = rate("linear", warmup="0%", final=0.1)
    assert [linear(k / STEPS) for k in range(STEPS)] == close(rates)


@pytest.mark.parametrize("up", [0, 8])
def test_cosine_equals_torchs_behind_its_warm_up(up: int) -> None:
    sgd = optimizer()
    schedule: Any = lr_scheduler.CosineAnnealingLR(sgd, T_max=STEPS - up, eta_min=0.05)
    if up:
        rising = lr_scheduler.LinearLR(sgd, 0.2, 1.0, up)
        schedule = lr_scheduler.SequentialLR(sgd, [rising, schedule], [up])
    cosine = rate("cosine", STEPS, warmup=f"{up}ep", warmup_start=0.2, final=0.05)
    assert [cosine(k / STEPS) for k in range(STEPS)] == close([lr for lr, _ in stepped(sgd, schedule)])
    assert cosine(1.0) == pytest.approx(0.05)


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
    keys = train("one_cycle", cycle_peak=f"{100 * peak:g}%", warmup_start=start, final=final)
    lr, momentum = lr_shape(keys, 100), momentum_shape(keys, 100)
    assert momentum is not None
    assert [lr(p) for p in progress] == close(list(rates))
    assert [momentum(p) for p in progress] == close(list(momenta))
    assert lr(1.0) == pytest.approx(sgd.param_groups[0]["lr"])


@given(
    st.sampled_from(SCHEDULES.names()),
    st.floats(0, 1),
    st.sampled_from([0, 5, 50, 100]),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_every_schedule_warms_up_and_stays_in_bounds(
    name: str, progress: float, warmup: int, start: float, final: float
) -> None:
    keys: Settings = {"warmup_start": start, "final": final}
    keys["cycle_peak" if name == "one_cycle" else "warmup"] = f"{warmup}%"
    shape = rate(name, **keys)
    assert -1e-12 <= shape(progress) <= 1 + 1e-12
    if warmup:
        assert shape(0.0) == pytest.approx(start)
