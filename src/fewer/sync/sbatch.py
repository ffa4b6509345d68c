"""The sbatch file of a run: it starts the ranks by `srun`, is queued again when the machines are taken, and resumes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from fewer.core.errors import PREEMPTED, RecipeError, ResourceError

_TIME = re.compile(r"(\d+-)?\d+(:\d\d){0,2}")  # minutes, minutes:seconds, hours:minutes:seconds, days-hours:...
_NAME = re.compile(r"[\w.@%+-]+(,[\w.@%+-]+)*")
_SAVE_SECONDS = 120  # before the limit: enough for the rest of a batch and a checkpoint
_RESTARTS = 3  # after a lost rank; a shortage of memory would come again for ever


@dataclass(frozen=True)
class Job:
    """What a job asks of SLURM.

    Attributes:
        nodes: Machines.
        gpus_per_node: GPUs of each, and processes; 0: processors alone, one process a machine.
        time: The limit, as SLURM writes it: minutes, hours:minutes:seconds, or days-hours.
        partition: Where it is queued; the cluster's default if empty.
    """

    nodes: int = 1
    gpus_per_node: int = 1
    time: str = ""
    partition: str = ""

    def problems(self) -> list[str]:
        """What SLURM would refuse, a sentence each."""
        found = []
        if self.time and not _TIME.fullmatch(self.time):
            found.append(f'--time "{self.time}"; allowed: minutes, H:M:S or days-hours, such as 12:00:00')
        if self.partition and not _NAME.fullmatch(self.partition):
            found.append(f'--partition "{self.partition}"; allowed: names that `sinfo` lists, such as gpu')
        return found


def script(job: Job, name: str, run: str, train: Sequence[str]) -> str:
    """The sbatch file.

    Args:
        job: What it asks of SLURM.
        name: The job's name.
        run: The run folder, on a file system that all machines share.
        train: The arguments of `fewer` that start the run; the folder is added.

    Raises:
        RecipeError: With everything in the job that SLURM would refuse.
    """
    if problems := job.problems():
        raise RecipeError(problems)
    start = shlex.join([*train, "--out"])
    return "\n".join([*_directives(job, re.sub(r"[^\w.-]", "_", name)), "", *_body(shlex.quote(run), start), ""])


def _directives(job: Job, name: str) -> list[str]:
    asked = {
        "job-name": name,
        "nodes": job.nodes,
        "ntasks-per-node": job.gpus_per_node or 1,
        "gpus-per-node": job.gpus_per_node or None,
        "time": job.time,
        "partition": job.partition,
        "output": f"{name}-%j.log",
        "open-mode": "append",  # sittings of one job follow each other in one log
        "signal": f"TERM@{_SAVE_SECONDS}",  # to the ranks, which then save
    }
    lines = [f"#SBATCH --{key}={value}" for key, value in asked.items() if value]
    return ["#!/bin/bash", *lines, "#SBATCH --requeue"]


def _body(run: str, start: str) -> list[str]:
    again = 'scontrol requeue "$SLURM_JOB_ID"'
    return [
        "# Environments: what is active where sbatch is called, is active here. Else activate it in this place.",
        "set -u",
        "trap : TERM  # the ranks save on it; this script waits for them",
        f"run={run}",
        'if [ -f "$run/recipe.resolved.toml" ]; then',
        '    set -- resume "$run"',
        "else",
        f'    set -- {start} "$run"',
        "fi",
        "",
        'srun --kill-on-bad-exit=1 fewer "$@"',
        "code=$?",
        "",
        'case "$code" in',
        f"{PREEMPTED})  # saved, because the time or the machines were taken",
        f"    {again} && exit 0 ;;",
        f"{ResourceError.exit_code})  # a lost rank or machine: {_RESTARTS} more tries",
        f'    [ "${{SLURM_RESTART_COUNT:-0}}" -lt {_RESTARTS} ] && {again} && exit 0 ;;',
        "esac",
        'exit "$code"',
    ]


__all__ = ["Job", "script"]
