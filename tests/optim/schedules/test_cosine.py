"""The cosine schedule against torch's own."""

from __future__ import annotations

from typing import Any

import pytest
from torch.optim import lr_scheduler

from torch_schedules import STEPS, close, optimizer, rate, stepped


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
