"""Pool of processes that probe images: if Pillow crashes on one of them, the crash is a fact of that image."""

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
from fewer.inspection.probe import ImageFacts, probe
from fewer.machine.device import usable_cores

Raw = bytes | Pixels
Probe = Callable[[Raw], ImageFacts]
_IMAGES, _BYTES = 64, 8 << 20  # of a chunk, at most
_CRASHED = ImageFacts("crash", "decoding it ended the process")


def probed(
    reads: Iterable[Callable[[], Raw]], processes: int | None = None, probe_one: Probe = probe
) -> Generator[ImageFacts, None, None]:
    """ImageFacts of images in their order.

    Args:
        reads: Each returns the bytes of one image; called in this process, a few chunks ahead.
        processes: Number of workers; 0: none, all in this process; left out: one for each core.
        probe_one: Applied to each; a function at the top of a module.
    """
    if processes is None:
        processes = usable_cores()
    chunks = _chunks(reads)
    if processes == 0:
        for chunk in chunks:
            yield from _chunk(chunk, probe_one)
        return
    pool = _pool(processes)
    waiting: deque[tuple[list[Raw | ImageFacts], Future[list[ImageFacts]] | None]] = deque()
    try:
        while True:
            for chunk in islice(chunks, 2 * processes - len(waiting)):
                waiting.append((chunk, _submitted(pool, chunk, probe_one)))
            if not waiting:
                return
            chunk, future = waiting.popleft()
            try:
                if future is None:
                    raise BrokenProcessPool
                facts = future.result()
            except BrokenProcessPool:
                pool.shutdown()  # its processes are gone; not waiting would leave its semaphores behind
                facts = _one_by_one(chunk, probe_one)
                pool = _pool(processes)
                waiting = deque((old, _submitted(pool, old, probe_one)) for old, _ in waiting)
            yield from facts
    finally:
        pool.shutdown(wait=not waiting, cancel_futures=True)


def _pool(processes: int) -> ProcessPoolExecutor:
    """Fresh processes rather than forks: this one may have threads."""
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _ignore_interrupts)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent process, which ends them


def _submitted(pool: ProcessPoolExecutor, chunk: list[Any], probe_one: Probe) -> Future[list[ImageFacts]] | None:
    try:
        return pool.submit(_chunk, chunk, probe_one)
    except BrokenProcessPool:
        return None


def _one_by_one(chunk: list[Raw | ImageFacts], probe_one: Probe) -> list[ImageFacts]:
    """Probes a chunk in which one image may have ended a process; the image that does so again is the cause."""
    facts, pool = [], _pool(1)
    for raw in chunk:
        try:
            facts += pool.submit(_chunk, [raw], probe_one).result()
        except BrokenProcessPool:
            facts.append(_CRASHED)
            pool.shutdown()
            pool = _pool(1)
    pool.shutdown()
    return facts


def _chunk(chunk: list[Raw | ImageFacts], probe_one: Probe) -> list[ImageFacts]:
    return [raw if isinstance(raw, ImageFacts) else probe_one(raw) for raw in chunk]


def _chunks(reads: Iterable[Callable[[], Raw]]) -> Iterator[list[Raw | ImageFacts]]:
    chunk: list[Raw | ImageFacts] = []
    size = 0
    for read in reads:
        raw = _read(read)
        chunk.append(raw)
        size += 0 if isinstance(raw, ImageFacts) else len(raw)
        if len(chunk) >= _IMAGES or size >= _BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _read(read: Callable[[], Raw]) -> Raw | ImageFacts:
    try:
        return read()
    except OSError as error:
        return ImageFacts("unreadable", error.strerror or str(error))
    except MemoryError:
        return ImageFacts("unreadable", "the file is larger than memory")
