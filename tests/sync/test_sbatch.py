"""The sbatch file: bash understands it, and its body starts, resumes and queues again by exit code."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fewer.core.errors import RecipeError
from fewer.sync.sbatch import Job, script

RUN = 'runs/it\'s "mine" $HOME'
TRAIN = ["train", "my photos.toml", "data.source=folder:/a b", "train.lr=0.1"]
SRUN = '#!/bin/bash\nprintf "%s\\n" "$@" >> srun.txt\nexit $(cat code)\n'
SCONTROL = '#!/bin/bash\nprintf "%s\\n" "$*" >> scontrol.txt\n'


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A folder with an srun that writes down its arguments and exits with the number in `code`, and an scontrol."""
    (tmp_path / "bin").mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "job.sbatch").write_text(script(Job(2, 4, "12:00:00", "gpu"), "my photos", RUN, TRAIN))
    return tmp_path


def ran(cluster: Path, code: int, restarts: int = 0) -> tuple[int, list[str], bool]:
    """Runs the body: its exit code, what srun was asked, and whether the job was queued again."""
    for name in ("srun.txt", "scontrol.txt"):
        (cluster / name).unlink(missing_ok=True)
    (cluster / "code").write_text(str(code))
    path = f"{cluster / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "SLURM_JOB_ID": "77", "SLURM_RESTART_COUNT": str(restarts)}
    done = subprocess.run(
        ["bash", "job.sbatch"], cwd=cluster, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    queued = cluster / "scontrol.txt"
    assert not queued.exists() or queued.read_text() == "requeue 77\n"
    return done.returncode, (cluster / "srun.txt").read_text().splitlines(), queued.exists()


def test_bash_understands_it(cluster: Path) -> None:
    assert subprocess.run(["bash", "-n", "job.sbatch"], cwd=cluster, check=False).returncode == 0
    directives = [line for line in (cluster / "job.sbatch").read_text().splitlines() if line.startswith("#SBATCH")]
    assert directives[:6] == [
        "#SBATCH --job-name=my_photos",
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks-per-node=4",
        "#SBATCH --gpus-per-node=4",
        "#SBATCH --time=12:00:00",
        "#SBATCH --partition=gpu",
    ]
    assert "#SBATCH --signal=TERM@120" in directives


@pytest.mark.parametrize(
    ("code", "restarts", "ended", "queued"),
    [(0, 0, 0, False), (75, 9, 0, True), (6, 2, 0, True), (6, 3, 6, False), (2, 0, 2, False), (130, 0, 130, False)],
)
def test_it_is_queued_again_where_going_on_makes_sense(
    cluster: Path, code: int, restarts: int, ended: int, queued: bool
) -> None:
    assert ran(cluster, code, restarts) == (ended, ["--kill-on-bad-exit=1", "fewer", *TRAIN, "--out", RUN], queued)


def test_it_resumes_once_there_is_a_run(cluster: Path) -> None:
    (cluster / RUN).mkdir(parents=True)
    (cluster / RUN / "recipe.resolved.toml").touch()
    assert ran(cluster, 75) == (0, ["--kill-on-bad-exit=1", "fewer", "resume", RUN], True)


def test_a_job_without_gpus_has_one_process_a_machine() -> None:
    text = script(Job(3, 0), "digits", "runs/digits", ["train", "digits.toml"])
    assert "--ntasks-per-node=1\n" in text
    for absent in ("gpus-per-node", "--time", "--partition"):
        assert absent not in text


def test_what_slurm_would_refuse() -> None:
    with pytest.raises(RecipeError) as error:
        script(Job(time="noon", partition="gpu; rm -r *"), "a", "b", [])
    heads = [problem.partition('"')[0] for problem in error.value.problems]
    assert heads == ["--time ", "--partition "]
    for time in ("90", "12:00:00", "2-00", "2-12:30:00"):
        assert Job(time=time).problems() == []
