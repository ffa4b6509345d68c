"""The pace of every rank in an epoch: images a second, the share of time that it waits, and its memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fewer.core.ledger import TRAINING, gathered_numbers
from fewer.report import units
from fewer.sync.comm import unbooked

if TYPE_CHECKING:
    from fewer.core.ledger import Ledger
    from fewer.core.protocols import Comm


class RankSpeeds:
    """What this rank has loaded and how long its batches took since the epoch began.

    Args:
        ledger: The ledger of this rank.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._before = self._now()

    def line(self, comm: Comm) -> list[dict[str, float]]:
        """The epoch on every rank, in their order, which begins the next one; every rank must call it.

        Returns:
            For each `images_per_second` that it loaded, shares of its time `data_wait` and `sync`, and the most memory
            so far in bytes; nothing where there is one rank.
        """
        if comm.world_size == 1:
            return []
        before, now = self._before, self._now()
        spent = {name: now[name] - before[name] for name in now}
        self._before = now
        seconds = max(1e-9, sum(spent[name] for name in TRAINING))
        mine = {
            "images_per_second": spent["samples_loaded"] / seconds,
            "data_wait": spent["data_wait"] / seconds,
            "sync": spent["sync"] / seconds,
            **self.ledger.peaks(),
        }
        with unbooked(comm):
            return gathered_numbers(comm, mine)

    def _now(self) -> dict[str, float]:
        return {"samples_loaded": float(self.ledger.total("samples_loaded")), **self.ledger.training_phases()}


def in_words(ranks: Sequence[Mapping[str, float]]) -> str:
    """An epoch's ranks in a few words, such as `ranks 210, 198 images/s, waiting 4%, 12%, 812, 790 MB`.

    Waiting is for images and for other ranks; memory is that of the GPU where there is one.
    """
    if not ranks:
        return ""
    has_gpu = any(rank["peak_device_memory_bytes"] for rank in ranks)
    memory = "peak_device_memory_bytes" if has_gpu else "peak_memory_bytes"
    rates = ", ".join(units.count(rank["images_per_second"]) for rank in ranks)
    waits = ", ".join(f"{rank['data_wait'] + rank['sync']:.0%}" for rank in ranks)
    most = ", ".join(f"{rank[memory] / 1e6:,.0f}" for rank in ranks)
    return f"ranks {rates} images/s, waiting {waits}, {most} MB"
