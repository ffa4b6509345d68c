"""Agreement of workers on what each weighs in a mean, and the mean of their running statistics, by one exchange.

L: workers of this process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fewer.core.protocols import Comm
from fewer.core.types import Worker
from fewer.sync.statistics import counts, moments

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Agreement:
    """What all workers know of each other before weights are exchanged.

    Attributes:
        weights_L: What the local workers weigh in the mean; all add up to 1, and one that is not finite weighs 0.
        excluded: Workers that are not finite.
        skipped: Steps that float16 let workers skip.
        moments: The mean of running statistics, as `fewer.sync.statistics` averages them; None for one worker.
        counts: Whole numbers among the buffers, the largest of all workers.
        is_any_left: Whether a worker with samples is finite.
    """

    weights_L: list[float]
    excluded: int
    skipped: int
    moments: Tensor | None
    counts: Tensor
    is_any_left: bool


def agree(
    comm: Comm, workers: Sequence[Worker], samples_L: Sequence[int], skipped_L: Sequence[int], several: bool
) -> Agreement:
    """Every process must call it.

    Args:
        comm: The exchange between processes.
        workers: The workers of this process.
        samples_L: Their samples in the round.
        skipped_L: Steps that float16 has let them skip.
        several: Whether the run has several workers.
    """
    finite_L = [_is_finite(worker.model) for worker in workers]
    counted_L = [float(samples) if finite else 0.0 for samples, finite in zip(samples_L, finite_L, strict=True)]
    head = [sum(counted_L), float(finite_L.count(False)), float(sum(skipped_L))]
    total = torch.tensor(head, dtype=torch.float64)
    if several:
        parts = [moments(worker.model) for worker in workers]
        mean = torch.zeros_like(parts[0])
        for part, counted in zip(parts, counted_L, strict=True):
            mean += part * counted if counted else 0.0  # what is left out may not be finite
        total = torch.cat([total, mean])
    comm.all_reduce(total)
    samples, excluded, skipped = total[:3].tolist()
    if not samples and not excluded:  # of steps without samples: all workers weigh the same
        return agree(comm, workers, [1] * len(workers), skipped_L, several)
    largest = torch.stack([counts(worker.model) for worker in workers])
    if several and largest.numel():
        largest = comm.gather(largest)
    return Agreement(
        weights_L=[counted / (samples or 1.0) for counted in counted_L],
        excluded=round(excluded),
        skipped=round(skipped),
        moments=total[3:] / (samples or 1.0) if several else None,
        counts=largest.amax(0) if largest.numel() else largest[0],
        is_any_left=samples > 0,
    )


def _is_finite(model: nn.Module) -> bool:
    """Whether all weights and running statistics are finite."""
    tensors = [*(p.detach() for p in model.parameters()), *(b for b in model.buffers() if b.is_floating_point())]
    return bool(torch.stack([tensor.sum(dtype=torch.float64).cpu() for tensor in tensors]).isfinite().all())
