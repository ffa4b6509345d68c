"""Several processes that train together: torchrun's environment contract, and our own launcher for one machine."""

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
from typing import TYPE_CHECKING, Any

from fewer.core.errors import EXIT_CODES, RecipeError, ResourceError, Stopped
from fewer.machine.device import usable_cores

if TYPE_CHECKING:
    from fewer.core.protocols import Comm

_GRACE_SECONDS = 60.0  # what the other ranks get to finish, once one has


def is_rank() -> bool:
    """Whether this process was started as one of several, by torchrun or by `launch`."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def joined() -> Iterator[Comm]:
    """The way this process exchanges tensors with its peers, by torchrun's environment variables; else alone."""
    from fewer.sync.comm import SingleProcess, TorchDistributed

    if not is_rank():
        yield SingleProcess()
        return
    import torch
    import torch.distributed as dist

    if torch.cuda.is_available():  # untested: needs a GPU
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    # What ranks agree on lies on the CPU, gradients lie on the GPU, and nccl exchanges the latter only.
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield TorchDistributed()
    except RuntimeError as error:
        if any(word in str(error) for word in ("gloo", "NCCL", "Connection closed by peer", "Connection reset")):
            # gloo's own words name its source files, not what happened here.
            raise ResourceError(
                "another rank is gone: its connection was lost; `fewer resume` goes on from the last checkpoint"
            ) from error
        raise
    finally:
        dist.destroy_process_group()


def launch(devices: int, arguments: Sequence[str]) -> int:
    """Runs `fewer ARGUMENTS` in as many processes as asked and returns the exit code of the whole.

    Signals are passed on; when one process dies the others are stopped.

    Args:
        devices: How many processes.
        arguments: The command line behind `fewer`.

    Raises:
        RecipeError: More processes than cores.
        ResourceError: A process was killed.
    """
    cores = usable_cores()
    if not 1 <= devices <= cores:
        raise RecipeError(f"--devices {devices}: this machine has {cores} cores; allowed: 1 to {cores}")
    shared = {**os.environ, "WORLD_SIZE": str(devices), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    shared.setdefault("OMP_NUM_THREADS", str(max(1, cores // devices)))
    complaints = [tempfile.TemporaryFile() for _ in range(devices)]  # noqa: SIM115 (closed below)
    ranks: list[subprocess.Popen[bytes]] = []
    with _passed_on(ranks) as passed:
        for rank in range(devices):
            process = subprocess.Popen(
                [sys.executable, "-m", "fewer", *arguments],
                env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=None if rank == 0 else subprocess.DEVNULL,
                # A peer's own complaint is that of rank 0, or follows from it; only an unforeseen one is worth reading.
                stderr=None if rank == 0 else complaints[rank],
                start_new_session=True,  # a Ctrl-C reaches them through us, once
            )
            ranks.append(process)
        codes = _codes(ranks)
    for rank, (code, complaint) in enumerate(zip(codes, complaints, strict=True)):
        complaint.seek(0)
        if code == 1 and rank:
            sys.stderr.write(f"rank {rank}:\n{complaint.read().decode(errors='replace')}")
        complaint.close()
    return _verdict(codes, passed)


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


def _codes(ranks: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Waits for all; once one has ended the others get some time, then are killed."""
    deadline = float("inf")
    while any(process.poll() is None for process in ranks):
        ended = [process for process in ranks if process.poll() is not None]
        if ended and deadline == float("inf"):
            # Killed peers leave the others waiting in vain; a peer that merely finished first does not.
            deadline = time.monotonic() + (5.0 if any(process.returncode for process in ended) else _GRACE_SECONDS)
        if time.monotonic() > deadline:
            for process in ranks:
                if process.poll() is None:
                    process.kill()
        time.sleep(0.05)
    return [process.returncode for process in ranks]


def _verdict(codes: Sequence[int], passed: Collection[int]) -> int:
    """The exit code of the whole.

    Args:
        codes: Exit code of every rank, negative for the signal that killed it.
        passed: Signals that were passed on to them.
    """
    killed = [(rank, -code) for rank, code in enumerate(codes) if code < 0]
    if codes[0] == 0 and all(number in passed for _, number in killed) and max(codes) == 0:
        return 0  # the run had ended, its result is printed: the signal met processes on their way out
    spoken = [code for code in codes if code not in (0, 1) and code > 0]
    if spoken and codes[0] >= 0:  # an error that a rank explained
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


__all__ = ["free_port", "is_rank", "joined", "launch"]
