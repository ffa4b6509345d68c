"""The loader of squares: they are decoded and cut in processes of their own, ahead of the batches that need them.

Each process has a pipe for short messages; tensors travel through anonymous memory that all share, one slot a
prefetched batch. Squares are a pure function of requests, so a process that dies or hangs is replaced and asked again,
and nothing changes; see docs/adr/0016.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import connection

from fewer.core.errors import ResourceError
from fewer.core.types import Request
from fewer.data.decode.on_request import Read, SquareReader, Squares
from fewer.data.loader_process import NO_MEMORY, LoaderProcess, can_fork, cause_of_death, kill, started
from fewer.data.messages import Messages
from fewer.data.slots import Slots, bytes_for
from fewer.machine.loading import SHARE_OF_MEMORY_AHEAD
from fewer.machine.memory import available_bytes

_ATTEMPTS = 4  # at one batch, before giving up
_POLL_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class _Task:
    """A request on its way; `slot` None: it is read in this process when its turn comes."""

    number: int
    reader: int
    request: Request
    slot: int | None = None
    worker: LoaderProcess | None = None
    result: Read | None = None
    attempts: int = 1
    is_wanted: bool = True


class Loader:
    """A few processes that read ahead for all the splits of a run.

    Attributes:
        processes: How many; 0: requests are read in this process, in threads, when their turn comes.
        prefetch: Batches that are read ahead, over all processes.
        note: Tells the user of what goes wrong.
    """

    def __init__(
        self,
        processes: int,
        prefetch: int | None = None,
        threads: int = 1,
        patience_seconds: float = 120.0,
        messages: Messages | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            processes: Loader processes.
            prefetch: Batches that are read ahead; two a process if left out.
            threads: That decode what is read in this process.
            patience_seconds: How long a process may take for one batch before it counts as hung.
            messages: Receives what goes wrong, in sentences for the user.
        """
        self.processes = processes if can_fork() else 0
        self.prefetch = 2 * processes if prefetch is None else prefetch
        self.note = messages or Messages()
        self._threads = ThreadPoolExecutor(threads) if threads > 1 else None
        self._patience_seconds = patience_seconds
        self._readers: list[SquareReader] = []
        self._workers: list[LoaderProcess] = []
        self._tasks: dict[int, _Task] = {}  # sent and not yet answered, by number
        self._numbers = 0
        self._memory: Slots | None = None
        self._free: list[int] = []
        self._finalizer = weakref.finalize(self, kill, self._workers)

    def register(self, reader: SquareReader) -> int:
        """Makes a reader known to the processes; returns its number for `stream`."""
        self._stop()
        self._readers.append(reader)
        return len(self._readers) - 1

    def stream(self, reader: int, requests: Iterable[Request]) -> Iterator[tuple[Request, Squares, Read]]:
        """For each request, in order: itself, its squares, and what reading them took.

        Requests are drawn no further ahead than batches are read ahead. The squares are overwritten later: use them
        before asking for the next.

        Raises:
            ResourceError: Processes die or hang again and again.
        """
        waiting: deque[_Task] = deque()
        try:
            for request in requests:
                waiting.append(self._begin(reader, request))
                if len(waiting) > (self.prefetch if self.processes else 0):
                    yield from self._delivered(waiting)
            while waiting:
                yield from self._delivered(waiting)
        finally:
            for task in waiting:
                self._abandon(task)

    def close(self) -> None:
        """Ends the processes; a later request starts new ones."""
        self._stop()
        self._memory = None

    # --- Tasks ------------------------------------------------------------------------------------------------

    def _begin(self, reader: int, request: Request) -> _Task:
        """Sends a request to a process, if there is one and memory for its answer."""
        self._numbers += 1
        task = _Task(self._numbers, reader, request)
        if self.processes and len(request.ids_B) and self._ready(bytes_for(request)):
            task.slot = self._free.pop()
            self._tasks[task.number] = task
            self._send(task)
        return task

    def _delivered(self, waiting: deque[_Task]) -> Iterator[tuple[Request, Squares, Read]]:
        """The first task's answer; its slot is free again when the caller comes back for more."""
        task = waiting[0]
        if task.slot is None:
            squares, read = self._readers[task.reader].read_here(task.request, self._threads)
            waiting.popleft()
            yield task.request, squares, read
            return
        self._wait_for(task)
        assert self._memory is not None
        assert task.result is not None
        yield task.request, self._memory.squares(task.slot, task.request), task.result
        waiting.popleft()
        self._free.append(task.slot)

    def _abandon(self, task: _Task) -> None:
        """Nobody waits for this answer any more; its slot is free once nothing can be written into it."""
        task.is_wanted = False
        if task.slot is not None and task.number not in self._tasks and self._memory is not None:
            self._free.append(task.slot)

    def _send(self, task: _Task) -> None:
        assert self._memory is not None
        assert task.slot is not None
        owners = [other.worker for other in self._tasks.values()]
        task.worker = min(self._workers, key=owners.count)
        if task.worker not in owners:  # it was idle, however long that was
            task.worker.awaited_since = time.monotonic()
        rest = self._memory.put(task.slot, task.request)
        with contextlib.suppress(OSError):  # dead: noticed when its answer is waited for
            task.worker.pipe.send((task.number, task.reader, task.slot, rest))

    def _wait_for(self, task: _Task) -> None:
        for worker in self._workers:
            worker.awaited_since = time.monotonic()
        while task.result is None:
            ready = connection.wait([worker.pipe for worker in self._workers], timeout=_POLL_SECONDS)
            now = time.monotonic()
            for worker in list(self._workers):
                owes = any(other.worker is worker for other in self._tasks.values())
                if worker.pipe in ready:
                    worker.awaited_since = now
                    self._answered(worker)
                elif owes and now - worker.awaited_since > self._patience_seconds:
                    self._replace(worker, f"gave no answer for {self._patience_seconds:g} s")

    def _answered(self, worker: LoaderProcess) -> None:
        """Takes one answer; a pipe that has ended means that the process has."""
        try:
            number, read, failure = worker.pipe.recv()
        except (EOFError, OSError):
            self._replace(worker, "")
            return
        if failure == NO_MEMORY:
            raise ResourceError(
                f"{self._readers[self._tasks[number].reader].source.name}: a loader process has no memory left for a "
                f"batch; fix: fewer data.processes, smaller batches or images, or close other programs"
            )
        if failure:
            raise RuntimeError(f"in a loader process:\n{failure}")
        task = self._tasks.pop(number)
        task.result = read
        if not task.is_wanted and task.slot is not None:
            self._free.append(task.slot)

    # --- Processes and their memory ---------------------------------------------------------------------------

    def _ready(self, slot_bytes: int) -> bool:
        """Whether a slot of so many bytes is free, with processes running; starts or enlarges what is missing."""
        if self._workers and self._tasks:
            for worker in list(self._workers):
                while worker in self._workers and worker.pipe.poll():
                    self._answered(worker)
        if self._memory is None or self._memory.slot_bytes < slot_bytes:
            if any(task.is_wanted for task in self._tasks.values()) or self._lent():
                return False  # in use: this one request is read here
            self._stop()
            if not self._allocate(slot_bytes):
                return False
        if not self._workers:
            try:
                for _ in range(self.processes):
                    self._workers.append(self._started())
            except OSError as error:
                self._give_up(f"loader processes cannot be started ({error.strerror})")
                return False
        return bool(self._free)

    def _lent(self) -> bool:
        """Whether the caller still looks at squares, or will."""
        return self._memory is not None and len(self._free) + len(self._tasks) < len(self._memory)

    def _allocate(self, slot_bytes: int) -> bool:
        """Shared memory for the batches read ahead and the one that is looked at, fewer of them if memory is short."""
        free = available_bytes()
        slots = self.prefetch + 1
        if free is not None:
            slots = min(slots, int(free * SHARE_OF_MEMORY_AHEAD) // slot_bytes)
        shortage = f"prefetched batches of {slot_bytes / 1e6:.1f} MB: memory for {max(0, slots)} of {self.prefetch + 1}"
        if slots < 2:
            self._give_up(shortage)
            return False
        if slots <= self.prefetch:
            self.prefetch = slots - 1
            self.note(f"{shortage} is free; only {self.prefetch} are read ahead")
        try:
            self._memory = Slots.allocated(slots, slot_bytes)
        except (OSError, ValueError):
            self._give_up(shortage)
            return False
        self._free = list(range(slots))
        return True

    def _give_up(self, why: str) -> None:
        self._stop()
        self._memory, self.processes = None, 0
        self.note(f"{why}; images are read in the training process instead, slower and with the same pixels")

    def _started(self) -> LoaderProcess:
        assert self._memory is not None
        return started(self._readers, self._memory, self._workers)

    def _replace(self, worker: LoaderProcess, hung: str) -> None:
        """A new process in place of one that died or hangs; it is sent what the other had not answered.

        Raises:
            ResourceError: The same batch has seen too many of them go.
        """
        kill([worker])
        cause = hung or f"was killed by {cause_of_death(worker.process.exitcode)}"
        owed = [task for task in self._tasks.values() if task.worker is worker]
        try:
            self._workers[self._workers.index(worker)] = self._started()
        except OSError as error:
            raise ResourceError(
                f"{self._readers[0].source.name}: a loader process {cause}, and no other can be started "
                f"({error.strerror or error}); is memory short? fix: data.processes = 0 reads in the training process"
            ) from error
        for task in owed:
            task.worker = None
        for nth, task in enumerate(owed):
            task.attempts += not nth
            if task.attempts > _ATTEMPTS:
                raise ResourceError(
                    f"{self._readers[task.reader].source.name}: a loader process {cause}, and so did "
                    f"{_ATTEMPTS - 1} others at the same batch of {len(task.request.ids_B)} images at "
                    f"{task.request.side_px} px; is memory short, or the storage stuck? "
                    f"fix: data.processes = 0 reads in the training process"
                )
            self._send(task)
        self.note(f"a loader process {cause}; another took its place, and no batch is lost or changed")

    def _stop(self) -> None:
        """Ends the processes and forgets what they owe."""
        kill(self._workers)
        self._workers.clear()
        for task in self._tasks.values():
            if task.slot is not None and self._memory is not None and not task.is_wanted:
                self._free.append(task.slot)
        self._tasks.clear()
