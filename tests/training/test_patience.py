"""Early stopping: what patience counts, what it makes of the schedule, and that a resumed run does the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fewer import parse_recipe
from fewer.core.errors import RecipeError
from fewer.plan.compile import compile_plan
from fewer.plan.course import Course, earliest_end
from fewer.plan.plan import Plan
from fewer.runs.record import read_json, read_rows
from fewer.session import fit_loop
from fewer.session.fit import fit, resume
from fewer.testing.harness import one_thread
from planning import facts, recipe


def plan_of(**train: Any) -> Plan:
    return compile_plan(recipe(train={"epochs": 20, "patience": "3ep", **train}), facts(val_images=10))


@pytest.mark.parametrize("schedule", ["linear", "cosine", "one_cycle", "step", "constant"])
def test_the_rest_of_the_schedule_is_passed_through_in_the_ending(schedule: str) -> None:
    whole = plan_of(schedule=schedule)
    short = whole.following(Course(begins=8, start=0.4, epochs=11, planned=20))
    assert short.epochs == 11
    assert [short.at(e, 1, 2).progress for e in range(8)] == [whole.at(e, 1, 2).progress for e in range(8)]
    # Three epochs take what twelve would have taken: each third of the ending is four epochs of the plan.
    for epoch in range(3):
        here, there = short.at(8 + epoch).progress, whole.at(8 + 4 * epoch).progress
        assert short.lr_factor(here, short.stages[-1]) == pytest.approx(whole.lr_factor(there, whole.stages[-1]))
    assert short.at(10, 1, 1).progress == pytest.approx(1)


def test_the_plan_gives_the_cost_as_an_interval() -> None:
    plain, patient = plan_of(patience="off"), plan_of()
    assert earliest_end(patient.recipe, patient.stages) == 1 + 3 + 3
    low, high = patient.predicted["full_epoch_equivalents"]
    assert high == plain.predicted["full_epoch_equivalents"][1]
    assert low == pytest.approx(high * 7 / 20)
    assert patient.predicted["optimizer_steps"][0] == pytest.approx(patient.predicted["optimizer_steps"][1] * 7 / 20)


def test_rare_validations_and_earlier_stages_make_the_shortest_run_longer() -> None:
    stages = [{"epochs": 5, "side_px": 16}, {"epochs": 15, "side_px": 20}]
    asked = recipe(train={"patience": "3ep"}, stages=stages, evaluate={"every": 2})
    plan = compile_plan(asked, facts(val_images=10))
    assert earliest_end(plan.recipe, plan.stages) == 10 + 3  # validated after 6, out of patience after 10


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": {"source": "digits", "val": "none"}}, 'data.val = "none"'),
        ({"evaluate": {"every": 0}}, "evaluate.every = 0"),
        ({"train": {"epochs": 20, "patience": "0ep"}}, "no time at all"),
    ],
)
def test_patience_without_anything_to_watch_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        recipe(**{"train": {"epochs": 20, "patience": "3ep"}, **changes})


# --- Runs --------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


CONTENT = {
    "data": {"source": "digits", "test": "5%", "val": "5%", "subset": 60},
    "model": {"name": "lenet5", "width": 0.1},
    # At this rate nothing is learnt: the first validation stays the best, or nearly so.
    "train": {"epochs": 12, "batch_size": 30, "lr": 1e-9, "patience": "2ep"},
    "stages": [{"epochs": 12, "side_px": 16}],
    "out": {"plots": False, "previews": False, "keep": 20},
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("patience") / "run"
    return folder, fit(parse_recipe(CONTENT), folder)


def test_a_run_that_no_longer_improves_anneals_and_ends(ended: tuple[Path, dict[str, Any]]) -> None:
    folder, result = ended
    assert result["epochs"] == 1 + 2 + 2
    rows = read_rows(folder / "rows.jsonl")
    (change,) = [row for row in rows if row["kind"] == "amendment"]
    assert (change["key"], change["old"], change["new"], change["epoch"]) == ("train.epochs", 12, 5, 3)
    assert result["amendments"]["train.epochs"]["new"] == "5"
    assert "patience is out: no better val top-1" in (folder / "log.txt").read_text()
    rates = [row["lr"] for row in rows if row["kind"] == "epoch"]
    assert rates[-1] < 0.3 * rates[2], "the rate has come down to the schedule's end"
    steps = [row["progress"] for row in rows if row["kind"] == "step"]
    assert steps == sorted(steps)
    assert resume(folder) == result, "it is finished, and stays so"


def test_resuming_before_and_in_the_ending_gives_the_same_bits(
    ended: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, stop_at = fit_loop.train, iter([2, 4])

    class Killed(Exception):
        pass

    def killed(task: Any, data: Any, run: Any) -> Iterator[Any]:
        limit = next(stop_at, None)
        for row in train(task, data, run):
            if row.epoch == limit:
                raise Killed
            yield row

    monkeypatch.setattr(fit_loop, "train", killed)
    with pytest.raises(Killed):
        fit(parse_recipe(CONTENT), tmp_path / "run")
    with pytest.raises(Killed):
        resume(tmp_path / "run")
    result = resume(tmp_path / "run")
    assert result["state"] == ended[1]["state"]
    assert result["epochs"] == 5
    amendments = [row for row in read_rows(tmp_path / "run" / "rows.jsonl") if row["kind"] == "amendment"]
    assert len(amendments) == 1


def test_a_longer_run_follows_its_own_plan(ended: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = ended
    result = resume(folder, ["train.epochs=7"])
    assert result["epochs"] == 7
    assert result["amendments"] == {}
    assert read_json(folder / "plan.json")["epochs"] == 7
