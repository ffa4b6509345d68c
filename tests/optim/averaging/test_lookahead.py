"""Lookahead against its published rule."""

from __future__ import annotations

import pytest
import torch

from fewer.optim.averaging.lookahead import Lookahead


def test_lookahead_pulls_as_airbench_does() -> None:
    """rho = decay^every * progress^power; slow += (1 - rho)(fast - slow); fast = slow."""
    model = torch.nn.Linear(1, 1, bias=False)
    ahead = Lookahead(every_steps=5, decay=0.95, power=3.0, start=0.3)
    torch.nn.init.constant_(model.weight, 1.0)
    ahead.update([model], 1, 5, 0.2)
    assert not ahead.slow, "not before its start"
    ahead.update([model], 1, 10, 0.5)
    torch.nn.init.constant_(model.weight, 3.0)
    ahead.update([model], 1, 12, 0.5)
    assert model.weight.item() == 3.0, "not between pulls"
    ahead.update([model], 1, 15, 0.8)
    rho = 0.95**5 * 0.8**3
    assert model.weight.item() == pytest.approx(3.0 + rho * (1.0 - 3.0))
    torch.nn.init.constant_(model.weight, 9.0)
    ahead.end_epoch([model])
    assert model.weight.item() == pytest.approx(3.0 + rho * (1.0 - 3.0))


def test_a_run_that_is_made_longer_forgets_its_slow_weights() -> None:
    model, ahead = torch.nn.Linear(1, 1), Lookahead(every_steps=1, decay=0.95, power=3.0, start=0.5)
    ahead.update([model], 1, 1, 0.6)
    torch.nn.init.constant_(model.weight, 9.0)
    ahead.update([model], 1, 2, 0.3)
    ahead.end_epoch([model])
    assert model.weight.item() == 9.0
