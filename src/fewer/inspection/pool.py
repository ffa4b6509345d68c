"""Examines images in worker processes: what Pillow does to one of them, be it a crash, is a fact of that image."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any

from fewer.data.decode.decode import Pixels
from fewer.inspection.examine import Facts, examine
from fewer.machine.device import usable_cores

Raw = bytes | Pixels
Examine = Callable[[Raw], Facts]
_IMAGES, _BYTES = 64, 8 << 20  # of a chunk, at most
_CRASHED = Facts("crash", "decoding it ended the process")


def examined(
    reads: Iterable[Callable[[], Raw]], processes: int | None = None, examine_one: Examine = examine
) -> Generator[Facts, None, None]:
    """Facts of images in their order.

    Args:
        reads: Each gives the bytes of one image; called in this process, a few chunks ahead.
        processes: How many workers; 0: none, in this process; left out: one a core.
        examine_one: What is done to each, a function at the top of a module.
    """
    if processes is None:
        processes = usable_cores()
    chunks = _chunks(reads)
    if processes == 0:
        for chunk in chunks:
            yield from _chunk(chunk, examine_one)
        return
    pool = _pool(processes)
    waiting: deque[tuple[list[Raw | Facts], Future[list[Facts]] | None]] = deque()
    try:
        while True:
            for chunk in islice(chunks, 2 * processes - len(waiting)):
                waiting.append((chunk, _submitted(pool, chunk, examine_one)))
            if not waiting:
                return
            chunk, future = waiting.popleft()
            try:
                if future is None:
                    raise BrokenProcessPool
                facts = future.result()
            except BrokenProcessPool:
                pool.shutdown()  # its processes are gone; not waiting would leave its semaphores behind
                facts = _one_by_one(chunk, examine_one)
                pool = _pool(processes)
                waiting = deque((old, _submitted(pool, old, examine_one)) for old, _ in waiting)
            yield from facts
    finally:
        pool.shutdown(wait=not waiting, cancel_futures=True)


def _pool(processes: int) -> ProcessPoolExecutor:
    """Fresh processes rather than forks: this one may have threads."""
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _ignore_interrupts)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks; its end is theirs


def _submitted(pool: ProcessPoolExecutor, chunk: list[Any], examine_one: Examine) -> Future[list[Facts]] | None:
    try:
        return pool.submit(_chunk, chunk, examine_one)
    except BrokenProcessPool:
        return None


def _one_by_one(chunk: list[Raw | Facts], examine_one: Examine) -> list[Facts]:
    """A chunk of which one image ended a process, or may have: whichever does so again is the one."""
    facts, pool = [], _pool(1)
    for raw in chunk:
        try:
            facts += pool.submit(_chunk, [raw], examine_one).result()
        except BrokenProcessPool:
            facts.append(_CRASHED)
            pool.shutdown()
            pool = _pool(1)
    pool.shutdown()
    return facts


def _chunk(chunk: list[Raw | Facts], examine_one: Examine) -> list[Facts]:
    return [raw if isinstance(raw, Facts) else examine_one(raw) for raw in chunk]


def _chunks(reads: Iterable[Callable[[], Raw]]) -> Iterator[list[Raw | Facts]]:
    chunk: list[Raw | Facts] = []
    size = 0
    for read in reads:
        raw = _read(read)
        chunk.append(raw)
        size += 0 if isinstance(raw, Facts) else len(raw)
        if len(chunk) >= _IMAGES or size >= _BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _read(read: Callable[[], Raw]) -> Raw | Facts:
    try:
        return read()
    except OSError as error:
        return Facts("unreadable", error.strerror or str(error))
    except MemoryError:
        return Facts("unreadable", "the file is larger than memory")
