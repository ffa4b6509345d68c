"""Shares that go down and up: by hand, in budgets, in runs, and in loops of one's own. The cost is met all the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core.errors import RecipeError
from fewer.core.types import At, Expectation
from fewer.select.budget import Budget
from fewer.select.oscillation import Oscillation
from fewer.testing import laws
from fewer.testing.harness import Content, session_of, trained, weights
from own_loops import build, look, step

DIGITS: Content = {
    "data": {"source": "digits", "val": "none", "test": "70%"},
    "model": {"name": "lenet5", "width": 0.2},
    "train": {"epochs": 6, "batch_size": 64, "lr": 0.05, "seed": 0},
}


def at_share(at: At) -> Expectation:
    return Expectation(at.share or 0.0, at.share or 0.0)


def of_run(chosen: dict[str, Any], **sections: Any) -> tuple[list[int], int, Any]:
    """Images that each epoch of a run trains on, all training images, and the session."""
    kept: dict[int, int] = {}

    def count(session: Any, row: Any) -> None:
        kept[row.epoch] = kept.get(row.epoch, 0) + row.kept

    session = trained({**DIGITS, **sections, "select": chosen}, look=count)
    return list(kept.values()), session.plan.facts.data.train_images, session


# --- By hand --------------------------------------------------------------------------------------------------------


def test_the_first_half_of_a_period_is_low_and_the_second_high() -> None:
    def shares(amplitude: float, period: int, level: float, epochs: int) -> list[float]:
        return [Oscillation(amplitude, period).share(epoch, level) for epoch in range(epochs)]

    assert shares(0.4, 2, 0.6, 4) == pytest.approx([0.36, 0.84, 0.36, 0.84])
    assert shares(0.5, 4, 0.4, 5) == pytest.approx([0.2, 0.2, 0.6, 0.6, 0.2])
    assert shares(0.5, 5, 0.4, 6) == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.6, 0.2]), "the middle is at the level"
    assert shares(0.5, 2, 0.8, 2) == pytest.approx([0.4, 1.0]), "no more than everything"
    assert shares(0.0, 2, 0.7, 3) == [0.7] * 3
    assert Oscillation(0.5).level(1, 0.6) == pytest.approx(0.4)


def test_a_share_that_cannot_rise_above_everything_falls_less() -> None:
    """Of 200 images a cost of 0.9 pays for 180 an epoch: 160 and 200, where a level of 1.6 swings by a half."""
    budget = Budget(200, (3,) * 4, (1,) * 4, 0.9, oscillation=Oscillation(0.5))
    level = budget.affordable_level(at_share, 0, 0.0)
    assert level == pytest.approx(1.6, abs=0.01)
    assert [round(200 * (budget.at(epoch, level).share or 0)) for epoch in range(4)] == [160, 200, 160, 200]
    everything = Budget(200, (3,) * 4, (1,) * 4, 1.0, oscillation=Oscillation(0.5))
    assert everything.affordable_level(at_share, 0, 0.0) == 2.0
    assert everything.at(0, 2.0).share == 1.0


def test_a_moment_knows_the_share_of_the_epoch_before() -> None:
    budget = Budget(100, (3,) * 3, (1,) * 3, 0.5, oscillation=Oscillation(0.2))
    assert budget.at(2, 0.5) == At(2, 3, 2 / 3, pytest.approx(0.4), last_share=pytest.approx(0.6))
    assert budget.at(0, 0.5).last_share is None
    assert budget.at(1).last_share is None, "without a cost the method decides"


@given(
    st.floats(0.1, 1),
    st.floats(0, 0.95),
    st.integers(2, 9),
    st.integers(200, 5000),
    st.lists(st.integers(1, 9), min_size=2, max_size=12),
)
@settings(deadline=None)
def test_any_oscillation_meets_the_cost(
    cost: float, amplitude: float, period: int, images: int, flops: list[int]
) -> None:
    """Epoch by epoch, each rounded to whole images, of which none is owed in the end but where epochs are full."""
    training = tuple(3 * each for each in flops)
    budget = Budget(images, training, tuple(flops), cost, oscillation=Oscillation(amplitude, period))
    spent = 0.0
    for epoch in range(budget.epochs):
        share = budget.at(epoch, budget.affordable_level(at_share, epoch, spent)).share
        assert share is not None
        assert 0 <= share <= 1
        spent += budget.epoch_flops(epoch, Expectation(share, share))[1]
    asked = cost * budget.full_flops
    assert spent <= asked + 1e-6
    assert asked - spent <= (training[-1] if share < 1 else sum(training)) + 1e-6


# --- Runs -----------------------------------------------------------------------------------------------------------


def test_a_run_trains_on_little_and_on_much_in_turn() -> None:
    kept, images, session = of_run({"method": "random", "cost": 0.6, "oscillation": 0.4})
    assert kept == pytest.approx([0.36 * images, 0.84 * images] * 3, abs=3)
    assert sum(kept) == pytest.approx(0.6 * images * 6, abs=1)
    low, high = session.plan.predicted["samples_backpropagated"]
    assert low == high == pytest.approx(sum(kept), abs=6), "an image an epoch is what rounding may make"


def test_stages_and_revision_have_their_say() -> None:
    """Stages show half of the images: shares are of these. The last epoch is on all that its stage shows."""
    stages = [{"epochs": 4, "side_px": 16, "data_share": 0.5}, {"epochs": 2, "side_px": 20}]
    chosen = {"method": "random", "cost": 0.4, "oscillation": 0.5, "revision": "1ep"}
    kept, images, session = of_run(chosen, stages=stages)
    shares = [number / (images * (0.5 if epoch < 4 else 1)) for epoch, number in enumerate(kept)]
    assert shares[5] == 1
    assert shares[1] == pytest.approx(3 * shares[0], rel=0.05)
    assert shares[:4:2] == pytest.approx([shares[4]] * 2, rel=0.05)
    spent = session.run.ledger.total("flops") / session.plan.budget.full_flops
    assert spent == pytest.approx(0.4, rel=0.01)


@pytest.mark.parametrize(
    "chosen",
    [
        {"method": "srd"},
        {"method": "dbpd", "refresh_every": 2},
        {"method": "dbpd", "score": "fresh", "oscillation": 0.3, "oscillation_period": "3ep"},
        {"method": "kakurenbo", "oscillation_period": "50%"},
        # More would strain it: it prunes nine tenths of what is below the mean loss, and no more.
        {"method": "infobatch", "cost": 0.8, "oscillation": 0.3, "revision": "0%"},
        {"method": "periodic_full", "every_effective_epochs": 1.9},
        {"method": "auto"},
    ],
    ids=str,
)
def test_every_kind_of_method_meets_its_cost(chosen: dict[str, Any]) -> None:
    chosen = {"cost": 0.75, "oscillation": 0.5, **chosen}
    kept, _, session = of_run(chosen)
    assert session.run.ledger.full_epoch_equivalents / session.plan.epochs == pytest.approx(chosen["cost"], rel=0.01)
    low, high = session.plan.predicted["full_epoch_equivalents"]
    assert low == pytest.approx(high, rel=0.01)
    assert high / session.plan.epochs == pytest.approx(chosen["cost"], rel=0.01)
    assert max(kept[1:]) > 1.3 * min(kept[1:]), "and it does oscillate"


def test_what_the_epoch_before_left_out_is_what_looking_again_costs() -> None:
    """With all of it looked at again, the plan's count of scored images is the run's."""
    chosen = {"method": "dbpd", "refresh_every": 1, "cost": 0.75, "oscillation": 0.5, "guards": "off"}
    _, images, session = of_run(chosen)
    forwarded, trained_on = (session.run.ledger.total(key) for key in ("samples_forwarded", "samples_backpropagated"))
    planned = [session.plan.predicted[key][1] for key in ("samples_forwarded", "samples_backpropagated")]
    assert forwarded - trained_on == pytest.approx(planned[0] - planned[1], abs=0.01 * images * session.plan.epochs)


def test_at_zero_it_is_the_same_run_with_the_same_digest() -> None:
    plain = {"method": "random", "cost": 0.5}
    (_, _, without), (_, _, off), (_, _, on) = (
        of_run({**plain, **more}) for more in ({}, {"oscillation": 0.0}, {"oscillation": 0.3})
    )
    assert weights(off) == weights(without) != weights(on)
    assert off.plan.digest == without.plan.digest != on.plan.digest


def test_the_laws_hold() -> None:
    content = {
        "data": {"source": "digits", "val": "none", "test": "93%"},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"batch_size": 32, "lr": 0.05, "seed": 0},
        "select": {"method": "dbpd", "refresh_every": 2, "cost": 0.8, "oscillation": 0.6, "revision": "1ep"},
        "stages": [{"epochs": 3, "side_px": 16}, {"epochs": 2, "side_px": 20}],
    }
    laws.resumed_is_never_stopped(content, trained(content))
    laws.ranks_agree(content)
    laws.ledger_is_what_happened(content)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"method": "full", "oscillation": 0.4}, r'unknown key "select\.oscillation"; it belongs to select\.method'),
        ({"method": "random", "oscillation": 0.4}, r"oscillation = 0\.4 is of the share that select\.cost pays for"),
        ({"method": "random", "cost": 0.5, "oscillation_period": "4ep"}, r"no effect with select\.oscillation = 0"),
        ({"cost": 0.5, "oscillation": 0.4, "oscillation_period": "1ep"}, r"is 1 of the run's 6 epochs.*try \"2ep\""),
        ({"cost": 0.5, "oscillation": 0.4, "oscillation_period": "10ep"}, r"is 10 of the run's 6 epochs"),
        ({"cost": 0.5, "oscillation": 0.4, "oscillation_period": "9step"}, 'only "ep" and "%"'),
        ({"cost": 0.5, "oscillation": 1.0}, "less than 1"),
        ({"cost": 0.005, "oscillation": 0.9}, r"keeps 0 of the \d+ training images in epoch 1"),
    ],
)
def test_what_has_no_effect_or_no_sense_is_refused(chosen: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        session_of({**DIGITS, "select": {"method": "random", **chosen}})


# --- Loops of one's own ---------------------------------------------------------------------------------------------


def test_a_loop_of_ones_own_oscillates_too() -> None:
    chooser = build({"method": "random", "cost": 0.5, "oscillation": 0.6, "epochs": 6})
    kept = []
    for epoch in range(6):
        look(chooser, epoch)
        chooser.begin(epoch)
        kept.append(len(list(chooser.sampler)))
        for batch in torch.tensor(list(chooser.sampler)).split(8):
            step(chooser, batch, epoch)
    assert kept == pytest.approx([0.2 * 61, 0.8 * 61] * 3, abs=2)
    assert chooser.spent()["full_epoch_equivalents"] / 6 == pytest.approx(0.5, rel=0.01)
