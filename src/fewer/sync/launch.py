"""The launcher of several processes on this machine, each told its place by torchrun's environment variables."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fewer.core.errors import EXIT_CODES, RecipeError, ResourceError, Stopped
from fewer.machine.device import gpu_numbers, usable_cores
from fewer.sync.lifeline import LAUNCHER

_GRACE_SECONDS = 60.0  # what the other ranks get to finish, once one has


def launch(devices: int, arguments: Sequence[str]) -> int:
    """Runs `fewer ARGUMENTS` in as many processes as asked and returns the exit code of the whole.

    Signals are passed on; when one process dies the others are stopped. On Linux all save and end when this one dies.

    Args:
        devices: How many processes.
        arguments: The command line behind `fewer`.

    Raises:
        RecipeError: More processes than GPUs or, where there are none, cores.
        ResourceError: A process was killed.
    """
    require_devices(devices)
    shared = {**os.environ, "WORLD_SIZE": str(devices), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    shared[LAUNCHER] = str(os.getpid())
    shared.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // devices)))
    shared.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # the store warns of lost ranks with pages of addresses
    complaints = [tempfile.TemporaryFile() for _ in range(devices)]  # noqa: SIM115 (closed below)
    ranks: list[subprocess.Popen[bytes]] = []
    with _passed_on(ranks) as passed:
        for rank in range(devices):
            process = subprocess.Popen(
                [sys.executable, "-m", "fewer", *arguments],
                env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=None if rank == 0 else subprocess.DEVNULL,
                # A peer's own complaint is that of rank 0, or follows from it, unless rank 0 could not say its own.
                stderr=None if rank == 0 else complaints[rank],
                start_new_session=True,  # a Ctrl-C reaches them through us, once
            )
            ranks.append(process)
        codes, given_up = _codes(ranks)
    said = [rank for rank, code in enumerate(codes) if rank and (code == 1 or (0 in given_up and code > 0))]
    for rank, complaint in enumerate(complaints):
        with complaint:
            complaint.seek(0)
            if rank in said:
                sys.stderr.write(f"rank {rank}:\n{complaint.read().decode(errors='replace')}")
    return _verdict(codes, passed, given_up)


def require_devices(devices: int) -> None:
    """Refuses more processes than GPUs or, where there are none, cores.

    Raises:
        RecipeError: It says how many there are.
    """
    gpus = gpu_numbers()
    there, kind = (len(gpus), "GPU") if gpus else (usable_cores(), "core")
    if not 1 <= devices <= there:
        raise RecipeError(
            f"--devices {devices}: this machine has {there} {kind}{'' if there == 1 else 's'}; "
            f"allowed: 1 to {there}; more machines join by torchrun or srun (docs/several-gpus.md)"
        )


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _passed_on(ranks: Sequence[subprocess.Popen[bytes]]) -> Iterator[set[int]]:
    """Passes signals on to the ranks, and collects which; ranks may be added meanwhile."""
    passed: set[int] = set()

    def handle(number: int, frame: Any) -> None:
        passed.add(number)
        for process in ranks:
            if process.poll() is None:
                process.send_signal(number)

    before = {number: signal.signal(number, handle) for number in EXIT_CODES}
    try:
        yield passed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _codes(ranks: Sequence[subprocess.Popen[bytes]]) -> tuple[list[int], set[int]]:
    """Waits for all; once one has ended the others get some time, then are killed. Also says which were."""
    deadline, given_up = float("inf"), set()
    while any(process.poll() is None for process in ranks):
        ended = [process for process in ranks if process.poll() is not None]
        if ended and deadline == float("inf"):
            # Killed peers leave the others waiting in vain; a peer that merely finished first does not.
            deadline = time.monotonic() + (5.0 if any(process.returncode for process in ended) else _GRACE_SECONDS)
        if time.monotonic() > deadline:
            for rank, process in enumerate(ranks):
                if process.poll() is None:
                    process.kill()
                    given_up.add(rank)
        time.sleep(0.05)
    return [process.returncode for process in ranks], given_up


def _verdict(codes: Sequence[int], passed: Collection[int], given_up: Collection[int] = ()) -> int:
    """The exit code of the whole.

    Args:
        codes: Exit code of every rank, negative for the signal that killed it.
        passed: Signals that were passed on to them.
        given_up: Ranks that were killed here, as they did not end after another had.
    """
    killed = [(rank, -code) for rank, code in enumerate(codes) if code < 0]
    if codes[0] == 0 and all(number in passed for _, number in killed) and max(codes) == 0:
        return 0  # the run had ended, its result is printed: the signal met processes on their way out
    spoken = [code for code in codes if code not in (0, 1) and code > 0]
    if spoken and (codes[0] >= 0 or 0 in given_up):  # an error that a rank explained
        return codes[0] if codes[0] in spoken else spoken[0]
    for rank, number in killed:
        if number not in passed:
            cause = " (out of memory?)" if number == signal.SIGKILL else ""
            raise ResourceError(
                f"rank {rank} was killed by signal {number}{cause}; `fewer resume` goes on from the last checkpoint"
            )
    if killed:
        raise Stopped.by(killed[0][1], "outside training; `fewer resume` goes on, or says that the run is finished")
    return max(codes)


__all__ = ["free_port", "launch", "require_devices"]
