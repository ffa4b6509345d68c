"""The constant rate with a cooldown at its end."""

from __future__ import annotations

import math

import pytest

from fewer.core.errors import RecipeError
from planning import recipe
from torch_schedules import rate


@pytest.mark.parametrize("shape", ["sqrt", "linear"])
def test_the_rate_stays_until_the_cooldown_and_falls_to_its_end(shape: str) -> None:
    cooled = rate("cooldown", 100, warmup="10%", warmup_start=0.5, cooldown="20%", cooldown_shape=shape, final=0.1)
    assert cooled(0.05) == pytest.approx(0.75)
    assert [cooled(p) for p in (0.1, 0.5, 0.8)] == pytest.approx([1.0] * 3)
    past = math.sqrt(0.25) if shape == "sqrt" else 0.25
    assert cooled(0.85) == pytest.approx(1 - 0.9 * past)
    assert cooled(1.0) == pytest.approx(0.1)


def test_before_the_cooldown_nothing_depends_on_the_length_of_the_run() -> None:
    short, long = (rate("cooldown", epochs, warmup="2ep", cooldown="5ep") for epochs in (20, 50))
    assert [short(epoch / 20) for epoch in range(16)] == pytest.approx([long(epoch / 50) for epoch in range(16)])


def test_without_a_cooldown_it_is_constant() -> None:
    none, constant = rate("cooldown", 10, cooldown="0%"), rate("constant", 10)
    assert [none(k / 64) for k in range(64)] == [constant(k / 64) for k in range(64)]


def test_a_cooldown_that_leaves_no_room_for_the_warm_up_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"train\.cooldown.*with a warm-up of 30%"):
        recipe(train={"schedule": "cooldown", "warmup": "30%", "cooldown": "80%"})
    with pytest.raises(RecipeError, match="min"):
        recipe(train={"schedule": "cooldown", "cooldown": "2min"})
