"""The ledger of a run: its cost in samples, pixels, steps, FLOPs, bytes and seconds, per stage and in all."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from fewer.core.protocols import Comm

PHASES = ("train", "select", "data_wait", "evaluate", "checkpoint", "compile", "sync", "other")
TRAINING = ("train", "select", "data_wait", "compile", "sync")  # those that a batch consists of

# Equal on every rank and part of the run's state: a resumed run continues them exactly.
EXACT = (
    "samples_forwarded",
    "samples_backpropagated",
    "optimizer_steps",
    "skipped_steps",
    "samples_left_over",
    "flops",
)
# What this and earlier processes of the run did: a resumed run decodes again, and books it.
LOCAL = ("samples_loaded", "samples_decoded", "decoded_pixels", "samples_evaluated", "bytes_sent")
# Of several processes the largest counts.
PEAKS = ("peak_memory_bytes", "peak_device_memory_bytes")


@final
class Ledger:
    """Counts per stage, seconds per phase; `totals()` is what `result.json` shows.

    Args:
        stages: Number of stages.
        train_images: Training images after the validation split, N.
        plain_epoch_flops: Forward and backward of all of them, whole model, largest side.
        since: `time.monotonic()` at which the seconds begin; now, if left out.
    """

    def __init__(self, stages: int, train_images: int, plain_epoch_flops: float, since: float | None = None) -> None:
        self.train_images, self.plain_epoch_flops = train_images, plain_epoch_flops
        self.counts: list[dict[str, int]] = [dict.fromkeys(EXACT + LOCAL, 0) for _ in range(stages)]
        self.seconds: list[dict[str, float]] = [dict.fromkeys(PHASES, 0.0) for _ in range(stages)]
        self.shared_flops = 0  # those of "flops" that another run has computed, such as a proxy's
        self.stage, self._phase, self._since = 0, "other", time.monotonic() if since is None else since
        self._peak_bytes = dict.fromkeys(PEAKS, 0)

    def book(self, stage: int, **counts: int) -> None:
        """Adds to a stage's counts."""
        for name, count in counts.items():
            self.counts[stage][name] += count

    def saw_device_memory(self, held_bytes: int) -> None:
        """Takes note of what a device holds for this process; the ledger keeps the most."""
        self._peak_bytes["peak_device_memory_bytes"] = max(held_bytes, self._peak_bytes["peak_device_memory_bytes"])

    def peaks(self) -> dict[str, int]:
        """The most memory so far, of this process and of earlier ones of the run, in bytes."""
        return {
            **self._peak_bytes,
            "peak_memory_bytes": max(peak_memory_bytes(), self._peak_bytes["peak_memory_bytes"]),
        }

    def enter(self, stage: int) -> None:
        """Seconds from here on belong to this stage."""
        self._lap()
        self.stage = stage

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Seconds inside belong to this phase, and to no other: the phases add up to the total."""
        self._lap()
        outer, self._phase = self._phase, name
        try:
            yield
        finally:
            self._lap()
            self._phase = outer

    def _lap(self) -> None:
        now = time.monotonic()
        self.seconds[self.stage][self._phase] += now - self._since
        self._since = now

    def total(self, name: str) -> int:
        """One count over all stages."""
        return sum(counts[name] for counts in self.counts)

    @property
    def effective_epochs(self) -> float:
        """Samples backpropagated / N: the literature's number, which hides the cost of scoring."""
        return self.total("samples_backpropagated") / self.train_images

    @property
    def full_epoch_equivalents(self) -> float:
        """FLOPs of everything training did / FLOPs of one plain epoch."""
        return self.total("flops") / self.plain_epoch_flops

    @property
    def total_seconds(self) -> float:
        self._lap()
        return sum(sum(seconds.values()) for seconds in self.seconds)

    @property
    def training_seconds(self) -> float:
        """Seconds of all that batches took; evaluations, checkpoints, plots and what came before are left out."""
        return sum(self.training_phases().values())

    def training_phases(self) -> dict[str, float]:
        """Seconds of each phase that batches consist of."""
        self._lap()
        return {name: sum(seconds[name] for seconds in self.seconds) for name in TRAINING}

    def totals(self) -> dict[str, Any]:
        """The whole ledger as `result.json` holds it."""
        total = self.total_seconds
        phases = {name: sum(seconds[name] for seconds in self.seconds) for name in PHASES}
        return {
            **{name: self.total(name) for name in EXACT + LOCAL},
            "effective_epochs": self.effective_epochs,
            "full_epoch_equivalents": self.full_epoch_equivalents,
            "shared_flops": self.shared_flops,
            **self.peaks(),
            "seconds": {**phases, "total": total},
            "stages": [
                {**counts, "seconds": {**seconds, "total": sum(seconds.values())}}
                for counts, seconds in zip(self.counts, self.seconds, strict=True)
            ],
        }

    def of_all_ranks(self, comm: Comm) -> dict[str, Any]:
        """`totals` of the whole run: what each rank did on its own is summed, memory is the largest, and `ranks` lists
        them one by one, with the seconds of their batches."""
        totals = self.totals()
        if comm.world_size == 1:
            return totals
        names = (*LOCAL, *PEAKS)
        mine = {name: totals[name] for name in names} | {name: totals["seconds"][name] for name in TRAINING}
        ranks = gathered_numbers(comm, mine)
        totals["ranks"] = [
            {name: int(rank[name]) for name in names} | {"seconds": {name: rank[name] for name in TRAINING}}
            for rank in ranks
        ]
        for name in names:
            column = [rank[name] for rank in totals["ranks"]]
            totals[name] = max(column) if name in PEAKS else sum(column)
        return totals

    def state_dict(self) -> dict[str, Any]:
        self._lap()
        return {
            "exact": [{name: counts[name] for name in EXACT} for counts in self.counts],
            "seconds": [dict(seconds) for seconds in self.seconds],
            "shared_flops": self.shared_flops,
            **self.peaks(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts a saved ledger below what this process has already booked (it has decoded its images)."""
        for here, exact in zip(self.counts, state["exact"], strict=False):
            here.update(exact)
        for seconds, saved in zip(self.seconds, state["seconds"], strict=False):
            for name, value in saved.items():
                seconds[name] += value
        self.shared_flops = state.get("shared_flops", 0)
        # A process that resumes may have seen more already; checkpoints of version 0.1 know no devices.
        self._peak_bytes = {name: max(most, state.get(name, 0)) for name, most in self._peak_bytes.items()}

    def local(self) -> list[list[int]]:
        """What this rank did on its own: a row a stage, in the order of `LOCAL`."""
        return [[counts[name] for name in LOCAL] for counts in self.counts]

    def add_local(self, rows: list[list[int]]) -> None:
        """Adds what `local` gave."""
        for counts, row in zip(self.counts, rows, strict=False):
            for name, count in zip(LOCAL, row, strict=True):
                counts[name] += count


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def gathered_numbers(comm: Comm, mine: Mapping[str, float]) -> list[dict[str, float]]:
    """Numbers of every rank by name, in the order of ranks; every rank must call it with the same names."""
    import torch

    rows = comm.gather(torch.tensor([list(map(float, mine.values()))], dtype=torch.float64)).tolist()
    return [dict(zip(mine, row, strict=True)) for row in rows]
