"""The one-cycle schedule and its momentum against torch's own."""

from __future__ import annotations

import pytest
from torch.optim import lr_scheduler

from fewer.optim import lr_shape, momentum_shape
from torch_schedules import STEPS, close, optimizer, stepped, train


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
