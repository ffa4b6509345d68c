"""Searches: what is tried, what stays unseen, what a stop leaves, and what is written."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fewer.core.errors import INTERRUPTED, CheckpointError, FewerError, RecipeError, Stopped
from fewer.core.evaluation import Metric
from fewer.recipe.parse import load_recipe
from fewer.runs.published import model_folder
from fewer.runs.record import read_object, read_rows
from fewer.session.progress import Display, Silent
from fewer.tune.search.results import FILES
from fewer.tune.search.study import Question, tune
from fewer.tune.search.trials import Trial

SEARCH = ("train.lr=log:1e-3..1", "train.batch_size=30,45")
APART = ("seconds", "machine", "folder")  # may differ between two searches of the same


class Follower:
    """Takes notes, and stops in an epoch of a trial, as Ctrl-C does."""

    def __init__(self, stop_in: tuple[int, int] | None = None) -> None:
        self.notes: list[str] = []
        self.tries: list[Trial] = []
        self._stop_in, self._begun = stop_in, -1

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def training(self, title: str) -> Iterator[Display | None]:
        self._begun += 1
        is_here = self._stop_in is not None and self._begun == self._stop_in[0]
        yield Stopping(self._stop_in[1]) if is_here and self._stop_in else None

    def tried(self, trial: Trial, metric: Metric, over: int, total: int, left_s: float | None) -> None:
        self.tries.append(trial)


class Stopping(Silent):
    def __init__(self, epoch: int) -> None:
        self._epoch = epoch

    def epoch(self, line: Mapping[str, Any], session: Any) -> None:
        if line["epoch"] == self._epoch:
            raise Stopped("stopped by SIGINT", INTERRUPTED)


def without(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{key: value for key, value in trial.items() if key not in APART} for trial in found["trials"]]


@pytest.fixture(scope="module")
def question(recipe: Path) -> Question:
    return Question(recipe, search=SEARCH, trials=3)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("searches") / "whole"


@pytest.fixture(scope="module")
def found(question: Question, home: Path) -> dict[str, Any]:
    return tune(question, home, Follower())


def test_a_search_that_was_stopped_goes_on_as_if_it_never_was(
    question: Question, found: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "halved"
    with pytest.raises(Stopped, match=r"interrupted after 1 of 3 trials; the same command goes on") as stop:
        tune(question, out, Follower(stop_in=(1, 1)))
    assert stop.value.exit_code == INTERRUPTED
    assert read_object(out / "tune.json")["outcomes"] == {"done": 1, "begun": 1}
    follower = Follower()
    again = tune(question, out, follower)
    assert without(again) == without(found)
    assert [trial.number for trial in follower.tries] == [1, 2], "the first one is there, the second goes on"
    assert any(row["kind"] == "resume" for row in read_rows(out / "trials" / "0001" / "rows.jsonl"))


def test_trials_are_judged_on_validation_images_and_never_see_test_images(found: dict[str, Any], home: Path) -> None:
    for trial in found["trials"]:
        run = home / trial["folder"]
        result, plan = read_object(run / "result.json"), read_object(run / "plan.json")
        assert {key.partition("/")[0] for key in result["metrics"]} == {"val"}
        assert trial["value"] == result["metrics"]["val/top1"]
        assert trial["full_epoch_equivalents"] == pytest.approx(result["ledger"]["full_epoch_equivalents"])
        assert trial["curve"][-1][0] == pytest.approx(2.0)
        evaluated = {row["split"] for row in read_rows(run / "rows.jsonl") if row["kind"] == "evaluation"}
        assert evaluated == {"val", "val/best"}
        assert plan["test_images"] == 0
        assert result["ledger"]["samples_decoded"] == plan["train_images"] + plan["val_images"]
    values = [trial["value"] for trial in found["trials"]]
    assert found["trials"][found["best"]]["value"] == max(values)
    assert found["full_epoch_equivalents"] == pytest.approx(6.0)
    assert found["runs"] == pytest.approx(3.0)


def test_the_files_say_the_same(found: dict[str, Any], home: Path, question: Question) -> None:
    assert read_object(home / "tune.json") == found
    best = found["trials"][found["best"]]
    trained = load_recipe(home / "best.toml")
    assert trained.train.lr == float(best["values"]["train.lr"])
    assert trained.train.batch_size == int(best["values"]["train.batch_size"])
    assert trained.evaluate.test, "test images are measured once the choice is made"
    assert trained.model_copy(update={"train": load_recipe(question.recipe).train}) == load_recipe(question.recipe)
    head = (home / "best.toml").read_text().splitlines()
    assert head[0] == f"# small with the values of trial {best['number']} of study whole, fewer tune"
    assert f"val/top1 {best['value']:.2%}" in head[1]
    assert "6 FEE, 3 runs" in head[2]
    with (home / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["train.lr"] for row in rows] == [trial["values"]["train.lr"] for trial in found["trials"]]
    assert [float(row["val/top1"]) for row in rows] == [trial["value"] for trial in found["trials"]]
    assert all((home / name).is_file() for name in FILES)


def test_only_the_best_trial_keeps_its_checkpoints_unless_all_shall(
    question: Question, found: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    kept = [trial["number"] for trial in found["trials"] if (home / trial["folder"] / "checkpoints").exists()]
    assert kept == [found["best"]]
    assert model_folder(home / found["trials"][found["best"]]["folder"]).is_dir()
    other = next(home / trial["folder"] for trial in found["trials"] if trial["number"] != found["best"])
    with pytest.raises(CheckpointError, match=r"no longer holds its model.*fewer train .*recipe\.resolved\.toml"):
        model_folder(other)
    asked = replace(question, trials=2, overrides=("train.epochs=1", "train.warmup=0ep"), keep_checkpoints=True)
    everything = tune(asked, tmp_path / "kept", Follower())
    assert all(
        (tmp_path / "kept" / trial["folder"] / "checkpoints" / "best").exists() for trial in everything["trials"]
    )


def test_nothing_is_trained_twice(question: Question, found: dict[str, Any], home: Path) -> None:
    follower = Follower()
    assert tune(question, home, follower) == found
    assert follower.tries == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"search": ("train.lr=log:1e-3..1",)}, r"train\.batch_size was searched, and is not"),
        ({"search": ("train.lr=0.1,0.2", SEARCH[1])}, r"train\.lr was log:1e-3\.\.1, is 0\.1,0\.2"),
        ({"overrides": ("train.epochs=3",)}, r"train\.epochs was 2, is 3"),
        ({"overrides": ("train.seed=1",)}, r"train\.seed was 0, is 1"),
    ],
)
def test_another_search_in_the_same_folder_is_refused(
    question: Question, found: dict[str, Any], home: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(RecipeError, match=rf"holds another search: .*{said}.*another --out"):
        tune(replace(question, **change), home, Follower())


def test_a_grid_has_every_combination_and_a_repeated_one_is_not_trained(recipe: Path, tmp_path: Path) -> None:
    """Lists of one epoch each; the second search draws from four combinations by chance, so one comes twice."""
    search = ("train.lr=0.05,1e30", "train.batch_size=45,90")
    follower = Follower()
    keys = ("train.epochs=1", "train.warmup=0ep")
    found = tune(Question(recipe, keys, search), tmp_path / "grid", follower)
    assert found["sampler"] == "grid"
    assert len({tuple(trial["values"].values()) for trial in found["trials"]}) == 4
    outcomes = {trial["values"]["train.lr"]: trial["outcome"] for trial in found["trials"]}
    assert outcomes == {"0.05": "done", "1e30": "diverged"}
    assert "4 trials (grid)" in follower.notes[2]
    follower = Follower()
    tune(Question(recipe, keys, ("train.lr=0.05,0.04",), trials=4, sampler="random"), tmp_path / "drawn", follower)
    repeated = [trial for trial in follower.tries if trial.message]
    assert repeated
    assert all(trial.message.startswith("the values of trial") for trial in repeated)
    assert {trial.full_epoch_equivalents for trial in repeated} == {0.0}
    drawn = read_object(tmp_path / "drawn" / "tune.json")
    assert drawn["trials"][drawn["best"]]["folder"], "the best is a trial that was trained, not one that repeats it"


def test_a_budget_ends_the_search_and_a_lagging_trial_ends_early(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fewer.tune.search.study.lags", lambda own, others, metric, spared: bool(others))
    follower = Follower()
    question = Question(recipe, ("train.epochs=3",), SEARCH, trials=9, budget=4.0)
    found = tune(question, tmp_path / "out", follower)
    assert [trial["outcome"] for trial in found["trials"]] == ["done", "pruned"]
    assert found["full_epoch_equivalents"] == pytest.approx(3.0 + 1.0), "one epoch, then the end"
    assert read_object(tmp_path / "out" / "trials" / "0001" / "status.json")["state"] == "pruned"
    assert any("--budget 4: no further trial begins" in note for note in follower.notes)
    assert found["best"] == 0


def test_a_proxy_that_all_trials_share_is_paid_once(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials that share a proxy of E FEE: each would pay it alone, the search pays it once, and so does its budget."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    keys = ("select.method=proxy", "select.proxy_every=2", "train.warmup=0ep")
    question = Question(recipe, keys, ("train.lr=0.02,0.05,0.1",), prune=False)
    found = tune(question, tmp_path / "out", Follower())
    first, *others = found["trials"]
    proxy = others[0]["shared_full_epoch_equivalents"]
    assert [trial["shared_full_epoch_equivalents"] for trial in found["trials"]] == [0.0, proxy, proxy]
    assert proxy > 0
    alone = first["full_epoch_equivalents"]
    assert others[0]["full_epoch_equivalents"] == pytest.approx(alone)
    assert found["full_epoch_equivalents"] == pytest.approx(3 * alone - 2 * proxy)
    follower = Follower()
    limited = replace(question, budget=2 * alone - 0.5 * proxy)
    assert len(tune(limited, tmp_path / "limited", follower)["trials"]) == 3
    assert any("in all at most, as the choices of a proxy may be shared; chosen by" in note for note in follower.notes)


def test_a_search_all_of_whose_trials_fail_is_ended(recipe: Path, tmp_path: Path) -> None:
    """Batches that are larger than the training images: what only the data tells."""
    question = Question(recipe, (), ("train.batch_size=5000,6000,7000,8000",))
    with pytest.raises(FewerError, match=r"all 3 trials failed, the last one so: .*larger than the 90") as error:
        tune(question, tmp_path / "out", Follower())
    assert error.value.exit_code == 2
    assert read_object(tmp_path / "out" / "tune.json")["best"] is None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"sampler": "bayes"}, "--sampler bayes: grid, tpe or random"),
        ({"sampler": "grid"}, r"train\.lr=log:1e-3\.\.1 is a range"),
        ({"trials": -1}, "--trials -1"),
        ({"budget": -1.0}, "--budget -1"),
    ],
)
def test_questions_that_are_none_are_refused(recipe: Path, tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        tune(Question(recipe, search=SEARCH, **keys), tmp_path / "out", Follower())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(RecipeError, match="holds no search"):
        tune(Question(recipe, search=SEARCH), tmp_path / "other", Follower())
