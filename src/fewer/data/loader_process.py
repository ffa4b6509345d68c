"""One loader process: reads what it is asked for, until the other end of its pipe is gone."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import torch

from fewer.data.decode.on_request import Read, SquareReader
from fewer.data.slots import Slots

NO_MEMORY = "MemoryError"  # what a process answers in place of a traceback


@dataclass(slots=True, eq=False)
class LoaderProcess:
    """A process as the trainer sees it.

    Attributes:
        process: The process.
        pipe: The trainer's end of the pipe for short messages.
        awaited_since: Since when the trainer has waited for an answer, by the monotonic clock.
    """

    process: BaseProcess
    pipe: Connection
    awaited_since: float = field(default_factory=time.monotonic)


def can_fork() -> bool:
    """Whether processes can share memory and sources as they are here; elsewhere images are read in threads."""
    return sys.platform.startswith("linux")


def started(readers: Sequence[SquareReader], slots: Slots, siblings: Sequence[LoaderProcess]) -> LoaderProcess:
    """A new process.

    Args:
        readers: What it reads with, by number.
        slots: Where requests lie and squares go.
        siblings: The processes that run already.

    Raises:
        OSError: The system starts no more.
    """
    ours, theirs = multiprocessing.Pipe()
    inherited = [ours, *(sibling.pipe for sibling in siblings)]
    process = multiprocessing.get_context("fork").Process(
        target=_work, args=(theirs, inherited, readers, slots), name="fewer loader", daemon=True
    )
    with warnings.catch_warnings():
        # Python warns of forks with threads: what threads may hold, these processes do not touch.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    theirs.close()
    return LoaderProcess(process, ours)


def kill(processes: Sequence[LoaderProcess]) -> None:
    """At once, as nothing that they hold is worth saving; one that is stopped would not hear a milder signal."""
    for one in processes:
        one.process.kill()
    for one in processes:
        one.process.join()
        one.pipe.close()


def cause_of_death(exitcode: int | None) -> str:
    """What killed a process, in words."""
    try:
        return f"signal {signal.Signals(-(exitcode or 0)).name}" if exitcode else "nobody: it ended"
    except ValueError:
        return f"its own exit with code {exitcode}"


# --- In the process itself -------------------------------------------------------------------------------------------


def _work(pipe: Connection, inherited: Sequence[Connection], readers: Sequence[SquareReader], slots: Slots) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches the whole group: the trainer sees to it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in inherited:  # else their pipes would not end with the trainer
        other.close()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders' remarks on odd files
    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, OSError):
        while True:
            number, reader, slot, rest = pipe.recv()
            request = slots.request(rest)
            read, failure = Read(), ""
            try:
                read = readers[reader].read(request, slots.squares(slot, request))
            except MemoryError:
                failure = NO_MEMORY
            except Exception:
                failure = traceback.format_exc()
            pipe.send((number, read, failure))
