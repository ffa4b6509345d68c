"""Whatever ends a run, going on with it gives the run that was never ended: same state, same metrics, same rows."""

from __future__ import annotations

import json
import os
import random
import signal
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server import Ended, Server, Started

RECIPE = """
[data]
source = "digits"
[model]
name = "lenet5"
width = 0.25
[train]
epochs = 3
batch_size = 32
lr = 0.05
ema = "10%"
[select]
method = "random"
share = 0.2
[out]
checkpoint_every = "2step"
"""
STEPS = 27  # 3 epochs of a fifth of 1,365 images in batches of 32, rounded up

Outcome = tuple[str, dict[str, float], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill")
    (folder / "small.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="session")
def unstopped(server: Server, home: Path) -> Outcome:
    ended = server.run("train", "small.toml", "--out", "unstopped", cwd=home)
    assert ended.code == 0, ended.stderr
    return outcome(home / "unstopped")


@pytest.fixture(scope="session")
def unstopped_pair(server: Server, home: Path) -> Outcome:
    for rank in server.ranks(2, "train", "small.toml", "--out", "unstopped-pair", cwd=home):
        ended = rank.wait()
        assert ended.code == 0, ended.stderr
    return outcome(home / "unstopped-pair")


def outcome(run: Path) -> Outcome:
    """What must not depend on being stopped: the digest of the whole state, the metrics, and every step's row."""
    result = json.loads((run / "result.json").read_text())
    steps = [
        {key: row[key] for key in ("epoch", "batch", "step", "progress", "lr", "loss", "top1", "kept", "candidates")}
        for row in map(json.loads, (run / "rows.jsonl").read_text().splitlines())
        if row["kind"] == "step"
    ]
    return result["state"], result["metrics"], steps


def steps_recorded(run: Path) -> Callable[[int], Callable[[], bool]]:
    """`steps_recorded(run)(n)()` says whether the record of a run holds n steps or more."""

    def reached(count: int) -> Callable[[], bool]:
        def check() -> bool:
            rows = run / "rows.jsonl"
            return rows.exists() and rows.read_bytes().count(b'"kind":"step"') >= count

        return check

    return reached


def stopped_at(step: int, process: Started, run: Path, sig: int) -> Ended:
    """Sends a signal once a step is in the record."""
    assert process.until(steps_recorded(run)(step)), process.stderr
    process.kill(sig)
    return process.wait()


def status(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "status.json").read_text())
    return content


@pytest.mark.parametrize(("seed", "draws"), [(0, False), (1, True)])
def test_killed_up_to_three_times_equals_never_killed(
    server: Server, home: Path, unstopped: Outcome, seed: int, draws: bool
) -> None:
    """kill -9 at any moment costs nothing but time."""
    drawn, run = random.Random(seed), home / f"killed-{seed}"
    process = server.start("train", "small.toml", "--out", run.name, cwd=home, report=draws)
    for _ in range(3):
        reached = steps_recorded(run)(drawn.randrange(STEPS - 2))
        # Between two rows lie evaluations and checkpoints; the pause reaches into them. Nothing hangs on its length.
        if process.until(reached):
            time.sleep(drawn.random() * 0.03)
        process.kill(signal.SIGKILL)
        assert process.wait().code in (-signal.SIGKILL, 0)
        process = server.start("resume", run.name, cwd=home, report=draws)
    ended = process.wait()
    assert ended.code == 0, ended.stderr
    assert outcome(run) == unstopped
    assert status(run)["state"] == "done"
    leftovers = [path for path in run.rglob(".*") if path.name != ".lock"]
    assert not leftovers, "resuming sweeps what kills left behind"


@pytest.mark.parametrize(
    ("sig", "code", "state"), [(signal.SIGTERM, 75, "preempted"), (signal.SIGINT, 130, "interrupted")]
)
def test_signal_saves_says_so_and_resumes_exactly(
    server: Server, home: Path, unstopped: Outcome, sig: int, code: int, state: str
) -> None:
    """SIGTERM and Ctrl-C save at the next batch; nothing is lost and the exit code tells them apart."""
    run = home / state
    never = 'out.checkpoint_every="3ep"'
    ended = stopped_at(5, server.start("train", "small.toml", never, "--out", run.name, cwd=home), run, sig)
    assert ended.code == code, ended.stderr
    assert ended.stdout == ""
    assert signal.Signals(sig).name in ended.stderr
    assert f"fewer resume {run.name}" in ended.stderr
    assert "Traceback" not in ended.stderr
    before = status(run)
    assert (before["state"], before["exit_code"]) == (state, code)
    assert before["step"] >= 5
    ended = server.run("resume", run.name, cwd=home)
    assert ended.code == 0, ended.stderr
    assert "resumed from epoch" in ended.stderr
    assert outcome(run) == unstopped


def test_second_signal_acts_at_once(server: Server, home: Path, tmp_path: Path) -> None:
    """Somebody who presses Ctrl-C twice does not want to wait for a save."""
    process = server.call(_deaf_to_one_signal, str(home / "small.toml"), str(tmp_path / "run"), cwd=tmp_path)
    assert process == {
        "first": "flag set, nothing raised",
        "answer": "SIGINT: finishing this batch, saving; Ctrl-C again stops at once",
        "second": "KeyboardInterrupt",
    }


def _deaf_to_one_signal(recipe: str, out: str) -> dict[str, str]:
    from fewer.session.signals import caught

    said: dict[str, str] = {}
    with caught() as stop:
        stop.answer = lambda text: said.update(answer=text)
        stop.run = run = types.SimpleNamespace(stop_requested=False)  # type: ignore[assignment]
        os.kill(os.getpid(), signal.SIGINT)
        said["first"] = "flag set, nothing raised" if run.stop_requested else "no flag"
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        except KeyboardInterrupt:
            said["second"] = "KeyboardInterrupt"
    return said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_before_training_is_no_traceback(server: Server, home: Path, number: int, code: int) -> None:
    """While data is read or images are decoded a signal ends with its code and one line."""
    out = f"early{code}"
    process = server.start("train", "small.toml", "--out", out, cwd=home)
    assert process.until((home / out).exists)
    process.kill(number)
    ended = process.wait()
    assert ended.code == code
    assert "Traceback" not in ended.stderr
    assert f"stopped by {signal.Signals(number).name}" in ended.stderr


def test_two_ranks_killed_equal_two_ranks_never_killed(server: Server, home: Path, unstopped_pair: Outcome) -> None:
    """Ranks that die together, at whatever moment, go on together; the one left behind by a dead peer does not hang."""
    run = home / "killed-pair"
    first, second = server.ranks(2, "train", "small.toml", "--out", run.name, cwd=home)
    stopped_at(9, second, run, signal.SIGKILL)
    assert first.wait().code not in (0, None)
    ranks = server.ranks(2, "resume", run.name, cwd=home)
    assert ranks[0].until(steps_recorded(run)(20)), ranks[0].stderr
    ranks[1].kill(signal.SIGTERM)  # reaches one rank only: both must leave after the same batch
    assert [rank.wait().code for rank in ranks] == [75, 75]
    for rank in server.ranks(2, "resume", run.name, cwd=home):
        ended = rank.wait()
        assert ended.code == 0, ended.stderr
    assert outcome(run) == unstopped_pair


def test_launched_ranks_stop_and_resume(server: Server, home: Path, unstopped_pair: Outcome) -> None:
    """`--devices 2` passes a signal on, ends with one exit code, and leaves what `resume` continues exactly."""
    run = home / "launched"
    process = server.start("train", "small.toml", "--out", run.name, "--devices", "2", cwd=home, forks=True)
    ended = stopped_at(4, process, run, signal.SIGTERM)
    assert ended.code == 75, ended.stderr
    for rank in server.ranks(2, "resume", run.name, cwd=home):
        ended = rank.wait()
        assert ended.code == 0, ended.stderr
    assert outcome(run) == unstopped_pair
