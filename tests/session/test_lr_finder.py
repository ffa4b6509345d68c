"""The learning-rate finder: what its sweeps train, that it leaves no trace in a run, and `train.lr = "auto"`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewer import parse_recipe
from fewer.core.errors import DivergedError, RecipeError
from fewer.core.protocols import Comm
from fewer.data.cache import cache_folder
from fewer.plan.lr_finder import REPEATS, Range, costs_of
from fewer.runs.record import read_json, read_rows
from fewer.session import lr_finder, lr_sweep
from fewer.session.fit import fit, resume
from fewer.session.lr_finder import Found, find, find_lr
from fewer.testing.harness import interrupted, one_thread, session_of, trained, weights
from fewer.testing.threads import on_ranks
from fewer.training.loop import train

SHORT = Range(3e-4, 0.3, 40)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _short_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lr_finder, "range_of", lambda recipe, facts, steps: SHORT)


def content(lr: float | str = 0.05, **sections: Any) -> dict[str, Any]:
    train = {
        "optimizer": "adamw",
        "warmup": "5%",
        "batch_size": 30,
        "lr": lr,
        "precision": "fp32",
        **sections.pop("train", {}),
    }
    if train.get("schedule") == "one_cycle":
        del train["warmup"]
    return {
        "data": {"source": "digits", "test": "5%", "val": "none", "subset": 90},
        "model": {"name": "lenet5", "width": 0.25},
        "stages": [{"epochs": 2, "side_px": 16}],
        "out": {"plots": False, "previews": False},
        **sections,
        "train": train,
    }


def finds(**sections: Any) -> Found:
    session = session_of(content("auto", **sections))
    return find(session, session.plan.stages[0], uses_cache=False)


def test_a_sweep_at_one_rate_is_plain_training_at_that_rate() -> None:
    session = session_of(content(train={"schedule": "one_cycle", "cycle_momentum": [0.8, 0.9], "weight_decay": 0.01}))
    stage, constant = session.plan.stages[0], Range(0.02, 0.02, 6)
    swept = lr_sweep.sweep(session, stage, constant, 0)
    seed = lr_sweep.sweep_plan(session.plan, stage, constant, 0).recipe.train.seed
    # The momentum is that of the cycle's peak, where its rate is highest.
    keys = {
        "schedule": "constant",
        "warmup": "0%",
        "betas": [0.8, 0.999],
        "weight_decay": 0.01,
        "seed": seed,
        "lr": 0.02,
    }
    plain = session_of(content(train=keys))
    plain.run.workers[0].model.load_state_dict(session.run.workers[0].model.state_dict())
    losses = [row.loss for row in train(plain.task, session.train_data, plain.run)]
    assert swept.rates == (0.02,) * 5
    assert list(swept.losses) == losses[1:6]


def test_rates_grow_by_the_same_factor_and_repeats_see_other_batches() -> None:
    session = session_of(content())
    first, second = (lr_sweep.sweep(session, session.plan.stages[0], Range(1e-3, 1e-2, 7), n) for n in range(2))
    assert first.rates == pytest.approx([10 ** (-3 + step / 6) for step in range(6)])
    assert first.losses != second.losses
    assert first.steps == first.counts["optimizer_steps"] == 7


def test_a_sweep_of_many_images_takes_only_as_many_as_it_needs() -> None:
    session = session_of(content())
    plan = lr_sweep.sweep_plan(session.plan, session.plan.stages[0], Range(0.01, 0.1, 2), 0)
    assert (plan.facts.data.train_images, plan.epochs) == (60, 1)
    assert lr_sweep.sweep(session, session.plan.stages[0], plan.rates, 0).counts["samples_loaded"] == 60


def test_each_sweep_draws_images_of_its_own_also_with_a_seed_of_the_data() -> None:
    plan = session_of(content(train={"data_seed": 1})).plan
    sweeps = [lr_sweep.sweep_plan(plan, plan.stages[0], Range(0.01, 0.1, 2), repeat) for repeat in range(3)]
    assert len({sweep.recipe.train.seed_of_data for sweep in sweeps}) == 3


@pytest.mark.parametrize(
    ("model", "workers"), [({"name": "lenet5", "width": 0.25}, 2), ({"name": "cnn", "width": 0.1, "whiten": True}, 1)]
)
def test_a_finder_leaves_a_run_and_all_random_streams_as_they_were(model: dict[str, Any], workers: int) -> None:
    averages = {"lookahead": {"every_steps": 2, "start": "0ep"}, "ema": "50%"}
    session = session_of(content(model=model, train=averages, sync={"workers": workers}))
    session.run.averages["ema"].update([session.run.workers[0].model], 30, 1, 0.1)
    modes = [module.training for module in session.run.workers[0].model.modules()]
    streams = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
    before = session.run.digest()
    find(session, session.plan.stages[0], repeats=1)
    assert session.run.digest() == before
    assert [module.training for module in session.run.workers[0].model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), streams[0])
    assert np.random.get_state()[1].tolist() == streams[1]  # type: ignore[index]
    assert random.getstate() == streams[2]


def test_loader_processes_survive_sweeps_that_end_early() -> None:
    data = {"source": "digits", "test": "5%", "val": "none", "subset": 90, "in_memory": "no", "processes": 1}
    session = session_of(content("auto", data=data))
    try:
        assert find_lr(session)
        rows = list(train(session.task, session.train_data, session.run))
    finally:
        session.close()
    plain = trained(content(session.plan.peak_lr))
    assert weights(plain) == weights(session)
    assert len(rows) == 6


def test_steps_that_float16_skips_are_no_points(monkeypatch: pytest.MonkeyPatch) -> None:
    scaler = partial(torch.amp.GradScaler, init_scale=2.0**40)  # far too large: it is halved until steps are taken
    monkeypatch.setattr(torch.amp, "GradScaler", scaler)
    session = session_of(content(train={"precision": "fp16"}, model={"name": "lenet5", "width": 0.1}))
    rates = Range(1e-4, 1e-3, 30)
    swept = lr_sweep.sweep(session, session.plan.stages[0], rates, 0)
    first = swept.skipped
    assert session.run.workers[0].scaler.get_scale() == 2.0**40
    assert 10 < first < 25
    assert swept.rates == tuple(rates.at(step) for step in range(first, 29))
    assert swept.counts["skipped_steps"] == first
    assert swept.counts["optimizer_steps"] == 30 - first


# --- train.lr = "auto" ------------------------------------------------------------------------------------------------


def test_a_run_with_a_found_rate_is_the_run_that_was_given_it() -> None:
    automatic = trained(content("auto", train={"norm_lr_scale": 2.0, "head_lr_scale": 3.0}))
    lr = automatic.plan.peak_lr
    given = trained(content(lr, train={"norm_lr_scale": 2.0, "head_lr_scale": 3.0}))
    assert weights(automatic) == weights(given)
    spent, plain = automatic.run.ledger, given.run.ledger
    assert spent.total("flops") > plain.total("flops")
    low, high = costs_of(automatic.plan.recipe, automatic.plan.facts, automatic.plan.stages[0], SHORT.steps)["flops"]
    assert low <= spent.total("flops") - plain.total("flops") <= high
    low, high = automatic.plan.predicted["full_epoch_equivalents"]
    assert low <= spent.full_epoch_equivalents <= high


def test_a_finder_costs_what_was_predicted_also_on_kept_features() -> None:
    asked = content("auto", train={"epochs": 1})
    asked["model"] = {"name": "resnet18_cifar"}
    asked["stages"] = [{"epochs": 1, "side_px": 16, "frozen": "all but the head", "strength": 0.0}]
    plan = session_of(asked).plan
    assert plan.stages[0].keeps_features
    each = lr_sweep.sweep_plan(plan, plan.stages[0], Range(0.01, 0.1, 6), 0).predicted
    found = costs_of(plan.recipe, plan.facts, plan.stages[0], 6)
    for key in ("flops", "samples_loaded", "samples_forwarded", "samples_backpropagated", "optimizer_steps"):
        assert found[key][1] == pytest.approx(REPEATS * each[key][1]), key


def test_a_killed_run_keeps_its_rate() -> None:
    unstopped = trained(content("auto"))
    again = interrupted(content("auto"), [1, 4])
    assert again.plan.peak_lr == unstopped.plan.peak_lr
    assert again.run.digest() == unstopped.run.digest()


def test_ranks_find_the_same_rate() -> None:
    asked = content("auto", train={"precision": "fp64"})

    def found(comm: Comm) -> float:
        session = session_of(asked, comm)
        find_lr(session)
        return session.plan.peak_lr

    alone = session_of(asked)
    find_lr(alone)
    assert on_ranks(2, found) == [alone.plan.peak_lr] * 2


def test_a_stage_scales_the_rate_that_it_is_found_for() -> None:
    plain, scaled = session_of(content("auto")), session_of(content("auto", stages=[_stage(0.5)]))
    for session in (plain, scaled):
        find_lr(session)
    assert scaled.plan.peak_lr == pytest.approx(2 * plain.plan.peak_lr, rel=0.06)  # two digits


def _stage(lr_scale: float) -> dict[str, Any]:
    return {"epochs": 2, "side_px": 16, "lr_scale": lr_scale}


def test_fit_says_records_caches_and_keeps_the_rate(tmp_path: Path) -> None:
    recipe = parse_recipe(content("auto", data={"source": "digits", "test": "5%", "val": "5%", "subset": 90}))
    first = fit(recipe, tmp_path / "first")
    (row,) = [row for row in read_rows(tmp_path / "first" / "rows.jsonl") if row["kind"] == "lr_find"]
    lr, text = row["lr"], f"train.lr = {row['lr']:g}, found"
    log, toml = (tmp_path / "first" / "log.txt").read_text(), (tmp_path / "first" / "recipe.resolved.toml").read_text()
    assert f"{text}: {REPEATS} sweeps say" in log
    assert f'# [train] lr = "auto" became lr = {lr}' in toml
    assert any(note.startswith(text) for note in read_json(tmp_path / "first" / "plan.json")["notes"])
    assert row["flops"] > 0
    assert not row["cached"]
    assert len(list(cache_folder().glob("*.lr-find.json"))) == 1
    # From the cache comes the same rate at the same cost: neither depends on what this machine happens to remember.
    second = fit(recipe, tmp_path / "second")
    (again,) = [row for row in read_rows(tmp_path / "second" / "rows.jsonl") if row["kind"] == "lr_find"]
    assert (again["cached"], again["lr"], again["flops"]) == (True, lr, row["flops"])
    assert "from the cache" in (tmp_path / "second" / "log.txt").read_text()
    assert first["ledger"]["full_epoch_equivalents"] == second["ledger"]["full_epoch_equivalents"]
    assert first["metrics"] == second["metrics"]
    # A longer run goes on with it, and looks for nothing.
    resume(tmp_path / "second", ["train.epochs=3"])
    rows = read_rows(tmp_path / "second" / "rows.jsonl")
    assert len([row for row in rows if row["kind"] == "lr_find"]) == 1
    assert {row["lr"] <= lr for row in rows if row["kind"] == "step"} == {True}


def test_a_damaged_cache_is_no_cache() -> None:
    session = session_of(content("auto"))
    session.run.plan = replace(session.plan, recipe=_cached(session.plan.recipe))
    found = find(session, session.plan.stages[0])
    (file,) = cache_folder().glob("*.lr-find.json")
    kept = file.read_text()
    assert find(session, session.plan.stages[0]).cached
    for damage in ("null", '{"sweeps": []}', kept.replace("rates", "rats"), kept[:-40], "[" * 9999):
        file.write_text(damage)
        again = find(session, session.plan.stages[0])
        assert (again.cached, again.lr) == (False, found.lr)


def _cached(recipe: Any) -> Any:
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"cache": "auto"})})


@pytest.mark.parametrize(
    "change",
    [
        {"train": {"seed": 1}},
        {"train": {"betas": [0.8, 0.999]}},
        {"train": {"batch_size": 20}},
        {"stages": [{"epochs": 2, "side_px": 20}]},
        {"stages": [{"epochs": 2, "side_px": 16, "strength": 0.5}], "augment": {"translate": 0.1}},
        {"augment": {"flip": "random"}},
        {"data": {"source": "digits", "test": "6%", "val": "none", "subset": 90}},
        {"model": {"name": "lenet5", "width": 0.5}},
    ],
)
def test_whatever_shapes_the_sweeps_is_part_of_the_cache_key(change: dict[str, Any]) -> None:
    keys = [
        lr_finder.lr_cache.key_of(session, session.plan.stages[0], SHORT, 3)
        for session in (session_of(content("auto")), session_of(content("auto", **change)))
    ]
    assert keys[0] != keys[1]


# --- What can go wrong ------------------------------------------------------------------------------------------------


def test_a_flat_curve_is_an_error_with_a_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lr_finder, "range_of", lambda recipe, facts, steps: Range(1e-9, 1e-8, 30))
    with pytest.raises(RecipeError, match=r"between 1e-09 and 1e-08: the loss is flat.*give train\.lr a number"):
        finds()


def test_a_finder_that_diverges_at_once_is_an_error_with_a_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lr_finder, "range_of", lambda recipe, facts, steps: Range(1e30, 1e32, 30))
    with pytest.raises(DivergedError, match=r"not finite within \d steps at learning rates from 1e\+30 up"):
        finds()


def test_too_few_images_are_refused_before_anything_is_trained() -> None:
    with pytest.raises(
        RecipeError, match=r'train\.lr = "auto": .* one of 60 holds most of the 90 images; use batches of 45'
    ):
        session_of(content("auto", train={"batch_size": 60}))


def test_a_loop_without_a_finder_is_told_what_it_lacks() -> None:
    session = session_of(content("auto"))
    with pytest.raises(RecipeError, match="call `find_lr`"):
        next(train(session.task, session.train_data, session.run))


def test_a_stop_during_the_sweeps_sets_no_rate() -> None:
    session = session_of(content("auto"))
    session.run.stop_requested = True
    assert not find_lr(session)
    assert session.plan.lr is None
