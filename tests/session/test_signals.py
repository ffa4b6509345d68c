"""Ctrl-C and SIGTERM: answered at once, said with a word, and whatever they interrupt can be resumed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drawings import drawings
from fewer import fit, parse_recipe, resume
from fewer.cli import main
from fewer.core.errors import ResourceError, Stopped
from fewer.recipe import parse
from fewer.runs.record import read_object, read_rows
from fewer.session.progress import Silent
from fewer.session.signals import caught
from fewer.sync import launch
from fewer.testing.harness import one_thread


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def recipe() -> Any:
    return parse_recipe(
        {
            "data": {"source": "digits", "test": "5%", "val": "none", "subset": 90},
            "model": {"name": "lenet5", "width": 0.1},
            "train": {"batch_size": 30, "lr": 0.05, "ema": "10%"},
            "stages": [{"epochs": 2, "side_px": 16}],
            "out": {"plots": False, "previews": False, "checkpoint_every": "2step"},
        }
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signals") / "whole"
    fit(recipe(), folder)
    return folder


class Pressing(Silent):
    """A display that presses Ctrl-C at a moment, once or twice, and keeps what is said."""

    def __init__(self, moment: str, times: int = 1) -> None:
        self.moment, self.times = moment, times
        self.said: list[str] = []

    def decoding(self, done: int, total: int) -> None:
        self._at("decoding")

    def row(self, row: Any, session: Any) -> None:
        self._at(f"step {row.step}")

    def phase(self, name: str) -> None:
        self._at(name)

    def note(self, text: str) -> None:
        self.said.append(text)

    def _at(self, moment: str) -> None:
        if moment == self.moment:
            self.moment = ""
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)


def outcome(run: Path) -> Any:
    """State, metrics and rows of a run, but for times and for being resumed."""
    result = read_object(run / "result.json")
    kinds = ("step", "epoch", "evaluation")
    rows = [
        (row["kind"], row.get("split"), row["epoch"], row.get("batch"))
        for row in read_rows(run / "rows.jsonl")
        if row["kind"] in kinds
    ]
    return result["state"], result["metrics"], rows


@pytest.mark.parametrize(
    ("moment", "times", "word"),
    [
        ("decoding", 1, "before training began; nothing is lost"),
        ("step 4", 1, "and saved in epoch 2"),
        ("step 3", 2, "at once"),
        ("evaluating on test", 1, "behind the last epoch, which is saved"),
        ("evaluating on test/raw", 2, "behind the last epoch, which is saved"),
    ],
)
def test_an_interrupted_run_says_so_and_goes_on(
    tmp_path: Path, whole: Path, moment: str, times: int, word: str
) -> None:
    display, run = Pressing(moment, times), tmp_path / "run"
    with pytest.raises(Stopped, match=word) as error:
        fit(recipe(), run, display=display)
    assert display.moment == "", "the moment came"
    status = read_object(run / "status.json")
    assert (error.value.exit_code, status["exit_code"], status["state"]) == (130, 130, "interrupted")
    assert word in status["message"]
    assert ("SIGINT: finishing this batch, saving; Ctrl-C again stops at once" in display.said) == ("step" in moment)
    resume(run)
    assert outcome(run) == outcome(whole)
    assert read_object(run / "status.json")["state"] == "done"


def test_killed_behind_the_result_is_completed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = fit(recipe(), run)
    for left in ({"state": "running", "pid": 1}, []):
        (run / "status.json").write_text(str(left).replace("'", '"'))
        (run / "report.html").unlink(missing_ok=True)
        with drawings(True):
            assert resume(run)["state"] == result["state"]
        status = read_object(run / "status.json")
        assert (status["state"], status["epoch"], status["best"]["epoch"]) == ("done", 2, result["best"]["epoch"])
        assert (run / "report.html").exists()


def test_ctrl_c_in_any_verb_is_no_silent_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parse, "load_recipe", interrupted)
    monkeypatch.setattr(sys, "argv", ["fewer", "plan", "recipe.toml"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert "interrupted by Ctrl-C" in capsys.readouterr().err


TERM, KILL = signal.SIGTERM, signal.SIGKILL


@pytest.mark.parametrize(
    ("codes", "passed", "code", "word"),
    [
        ([0, 0], [], 0, ""),
        ([0, -TERM], [TERM], 0, ""),  # finished, and its result is printed
        ([-TERM, 0], [TERM], 75, "stopped by SIGTERM outside training"),
        ([-TERM, -TERM], [TERM], 75, "stopped by SIGTERM outside training"),
        ([-signal.SIGINT, 130], [signal.SIGINT], 130, "stopped by SIGINT"),
        ([75, -TERM], [TERM], 75, ""),
        ([6, -KILL], [], 6, ""),
        ([-KILL, 6], [TERM], 6, "rank 0 was killed by signal 9 (out of memory?)"),
        ([0, -KILL], [TERM], 6, "rank 1 was killed by signal 9 (out of memory?)"),
        ([-signal.SIGSEGV, 6], [], 6, "rank 0 was killed by signal 11; "),
    ],
)
def test_ranks_end_with_one_code_and_its_true_cause(codes: list[int], passed: list[int], code: int, word: str) -> None:
    if not word:
        assert launch._verdict(codes, passed) == code
        return
    with pytest.raises((Stopped, ResourceError)) as error:
        launch._verdict(codes, passed)
    assert error.value.exit_code == code
    assert str(error.value).startswith(word)


def test_a_rank_that_was_given_up_does_not_hide_what_another_said() -> None:
    assert launch._verdict([-KILL, 6], [], given_up={0}) == 6


def test_the_end_of_a_sitting_saves_the_run_and_the_next_one_goes_on(tmp_path: Path, whole: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Stopped, match=r"stopped at \d\d:\d\d, as asked, and saved in epoch 1") as stopped:
        fit(recipe(), run, until=datetime.now())
    assert stopped.value.exit_code == 75
    status = read_object(run / "status.json")
    assert (status["state"], status["exit_code"], status["epoch"]) == ("preempted", 75, 0)
    assert status["step"] == 1
    assert (
        resume(run, until=datetime.now() + timedelta(hours=9))["state"] == read_object(whole / "result.json")["state"]
    )


def test_a_sitting_ends_while_it_lasts() -> None:
    with caught(datetime.now() + timedelta(milliseconds=30)) as stop:
        stop.run = SimpleNamespace(stop_requested=False)  # type: ignore[assignment]
        said = threading.Event()
        stop.answer = lambda text: said.set()
        assert said.wait(30)
        assert stop.run is not None
        assert stop.run.stop_requested
        assert "as asked" in str(stop.stopped("here"))
        stop.request(signal.SIGINT)
        assert "SIGINT" in str(stop.stopped("here")), "the last wish counts"
