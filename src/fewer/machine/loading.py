"""Image loading of a run: kept in memory or read again, and by how many loader processes.

Chosen from facts before the run; none of it changes a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_SHARE_OF_MEMORY = 1 / 3  # of what is free, that images in memory may take over all ranks
_PROCESSES_MOST = 8  # of a rank, chosen by "auto"
_PREFETCHED_EACH = 2  # batches of a loader process
SHARE_OF_MEMORY_AHEAD = 0.5  # of what is free, that batches read ahead may take


@dataclass(frozen=True, slots=True)
class Loading:
    """Where a rank's images come from.

    Attributes:
        in_memory: They are decoded once and kept.
        processes: Loader processes of this rank; 0 in memory.
        prefetched_batches: Batches that these read ahead.
        threads: That decode in the training process.
    """

    in_memory: bool
    processes: int
    prefetched_batches: int
    threads: int


def choose_loading(
    in_memory: Literal["auto", "yes", "no"],
    processes: int | Literal["auto"],
    needed_bytes: int,
    available_bytes: int | None,
    device: str,
    cores: int,
    ranks: int,
) -> Loading:
    """Decides what "auto" means here.

    Args:
        in_memory: As the recipe has it.
        processes: As the recipe has it, over all ranks.
        needed_bytes: What one rank's decoded images take.
        available_bytes: Free memory; unknown if None.
        device: "cpu" or "cuda".
        cores: Cores that all ranks share.
        ranks: Processes that train together.
    """
    fits = available_bytes is None or needed_bytes * ranks <= available_bytes * _SHARE_OF_MEMORY
    threads = max(1, cores // ranks)
    if in_memory == "yes" or (in_memory == "auto" and fits):
        return Loading(True, 0, 0, threads)
    if processes == "auto":
        # Where training itself takes the cores, half of them are left to it.
        each = min(_PROCESSES_MOST, max(1, (cores // 2 if device == "cpu" else cores) // ranks))
    else:
        each = -(-processes // ranks)
    return Loading(False, each, _PREFETCHED_EACH * each, threads)
