"""A rank that stops, without dying: the job ends in bounded time, names it, and goes on under any launcher."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from fewer.sync.launch import free_port
from server import Server, Started

RECIPE = """
data = { source = "digits", subset = 300, cache = "no" }
model = { name = "lenet5", width = 0.1 }
train = { batch_size = 30, lr = 0.05 }
out = { checkpoint_every = "2step" }
stages = [{ epochs = 8, side_px = 16 }]
"""
LIMITS = {"FEWER_RANK_TIMEOUT": "1"}
# That of a closed terminal. Children of nohup ignore it.
HANG_UP = signal.SIGKILL if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else signal.SIGHUP


def steps(run: Path) -> int:
    rows = run / "rows.jsonl"
    return rows.read_bytes().count(b'"kind":"step"') if rows.exists() else 0


def children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return not Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].startswith(" Z")
    except OSError:
        return False


def gone(pids: list[int]) -> bool:
    """Whether processes that are not our own end within some time."""
    deadline = time.monotonic() + 60
    while left := [pid for pid in pids if is_alive(pid)]:
        if time.monotonic() > deadline:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            return False
        time.sleep(0.01)
    return True


def status(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "status.json").read_text())
    return content


def test_stopped_ranks_are_named_and_the_run_goes_on(server: Server, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(RECIPE)
    run = tmp_path / "run"
    # Rank 0 of `--devices`: it holds the store, and cannot say a word. Rank 1 says it, and the launcher passes it on.
    launched = server.start(
        "train", "small.toml", "--out", "run", "--devices", "2", cwd=tmp_path, env=LIMITS, forks=True
    )
    assert launched.until(lambda: steps(run) >= 3), launched.stderr
    os.kill(children(launched.pid)[0], signal.SIGSTOP)
    ended = launched.wait()
    assert ended.code == 6, ended.stderr
    assert "rank 1:\nfewer: rank 0 on" in ended.stderr
    assert "has given no sign of life for 1 s (FEWER_RANK_TIMEOUT)" in ended.stderr
    assert "`fewer resume` goes on" in ended.stderr
    # Rank 1, as srun starts it: rank 0 writes what became of the run.
    ranks = srun(server, tmp_path, "resume", "run")
    assert ranks[0].until(lambda: steps(run) >= 12), ranks[0].stderr
    ranks[1].kill(signal.SIGSTOP)
    ended = ranks[0].wait()
    ranks[1].kill()
    assert ended.code == 6, ended.stderr
    assert "fewer: rank 1 on" in ended.stderr
    assert (status(run)["state"], status(run)["exit_code"]) == ("failed", 6)
    assert "rank 1 on" in status(run)["message"]
    # A launcher that is killed takes its ranks with it, which save.
    before = steps(run)
    launched = server.start("resume", "run", "--devices", "2", cwd=tmp_path, env=LIMITS, forks=True)
    assert launched.until(lambda: steps(run) >= before + 2), launched.stderr
    orphans = children(launched.pid)
    launched.kill(HANG_UP)
    assert launched.wait().code == -HANG_UP
    assert gone(orphans)
    assert (status(run)["state"], status(run)["exit_code"]) == ("preempted", 75)
    assert "SIGTERM" in status(run)["message"]
    # No checkpoint is torn: the newest one is what the last sitting goes on with.
    ended = server.run("resume", "run", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert "resumed from epoch" in ended.stderr
    assert "damaged checkpoint" not in ended.stderr
    assert status(run)["state"] == "done"


def srun(server: Server, cwd: Path, *arguments: str) -> list[Started]:
    """Starts two ranks as `srun` does: nothing but SLURM's variables says so."""
    step = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_JOB_NODELIST": "localhost"}
    shared = {**LIMITS, **step, "MASTER_PORT": str(free_port())}
    places = [{"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)} for rank in range(2)]
    return [server.start(*arguments, cwd=cwd, env={**shared, **place}) for place in places]
