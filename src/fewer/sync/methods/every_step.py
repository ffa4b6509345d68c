"""Synchronous data parallelism: all workers add up their gradients at every step, and so stay equal."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from fewer.core.config import NonNegative, Section
from fewer.core.protocols import Comm
from fewer.core.types import Worker
from fewer.sync.base import BaseSync, at_least_one
from fewer.sync.buckets import Buckets, Starting, cut
from fewer.sync.gradients import flat, gradients, put_gradients

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

EVERY_STEP = True
EXAMPLES: list[dict[str, Any]] = [{}]


class Params(Section):
    gradients: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Numbers that gradients are sent as: `fp32`, those of the weights, also where these are fp64; `bf16` and `fp16`,
    half the bytes, rounded before they are added up. fp16 rounds more finely, but loses what lies below 6e-8."""
    bucket_mb: NonNegative = 25.0
    """Gradients leave while the backward goes on, those of the last layers first, in parts of so many million bytes;
    with `train.accumulate`, in that of the last micro-batch. 0, or a model that fits into one: all at once behind it.
    A step whose gradients are on their way is not done again where memory does not suffice."""


def step_traffic(params: Params, shapes: Sequence[Sequence[int]], weight_bytes: int) -> tuple[int, int]:
    """What a worker sums with the others in a step, where nothing is frozen.

    Args:
        params: The keys of `[sync]`.
        shapes: Shapes of the model's parameters.
        weight_bytes: Bytes of one weight.

    Returns:
        Bytes of the tensors that are summed, and how many tensors these are.
    """
    sizes = [prod(shape) * weight_bytes for shape in reversed(shapes)]
    sent_bytes = sum(sizes) if params.gradients == "fp32" else sum(sizes) // weight_bytes * 2
    return sent_bytes, len(cut(sizes, round(1e6 * params.bucket_mb))) if params.bucket_mb else 1


class EveryStep(BaseSync):
    """Sums gradients over all workers in one flat all-reduce a step.

    Losses are divided by the global count before the backward, so the sum is the gradient of the global batch however
    unequal the workers' shares are. A worker whose share is empty has no gradient and adds zeros.

    Args:
        comm: The exchange between processes.
        workers: All workers of the run, a multiple of the number of processes; as many as processes, if left out.
        sent_as: The type that gradients are sent as; that of the weights, if left out.
        bucket_bytes: Bytes of gradients that are sent while the backward goes on; 0: all behind it.
    """

    keeps_equal = True

    def __init__(
        self,
        comm: Comm,
        workers: int | None = None,
        sent_as: torch.dtype | None = None,
        bucket_bytes: int = 0,
    ) -> None:
        super().__init__(comm, workers)
        self.sent_as = sent_as
        self._buckets: Buckets | None = None
        if bucket_bytes and self.workers == comm.world_size > 1 and isinstance(comm, Starting):
            self._buckets = Buckets(comm, bucket_bytes, self._packed, self._unpacked)

    def denominator(self, of_all: float, of_worker: float) -> float:
        found: float = at_least_one(of_all)
        return found

    @property
    def is_exchanging(self) -> bool:
        return self._buckets is not None and self._buckets.is_open

    def begin_backward(self, workers: Sequence[Worker], is_last: bool) -> None:
        if self._buckets and is_last:
            self._buckets.arm(_trained(workers[0].model))
        elif self._buckets:
            self._buckets.disarm()

    def end_backward(self, workers: Sequence[Worker]) -> None:
        if self._buckets:
            self._buckets.send_rest(_trained(workers[0].model))

    def sync_gradients(self, workers: Sequence[Worker]) -> None:
        if self.workers == 1:
            return
        if self._buckets and self._buckets.is_open:
            self._buckets.finish()
            self.sync_buffers(workers)
            return
        trained = [_trained(worker.model) for worker in workers]
        if self.sent_as is None:
            self._sum_all(workers, trained)
            return
        total = self.total([self._packed(flat(gradients(each))) for each in trained])
        for each in trained:
            put_gradients(each, self._unpacked(total, each[0].dtype))
        self.sync_buffers(workers)

    def _packed(self, gradient: Tensor) -> Tensor:
        """A gradient as it is sent: divided before it is added up, so that a sum ends no sooner than its parts."""
        return gradient if self.sent_as is None else (gradient / self.workers).to(self.sent_as)

    def _unpacked(self, total: Tensor, dtype: torch.dtype) -> Tensor:
        return total if self.sent_as is None else total.to(dtype) * self.workers

    def sync_buffers(self, workers: Sequence[Worker]) -> None:
        if self.workers > 1:
            self._sum_all(workers, [[] for _ in workers])

    def _sum_all(self, workers: Sequence[Worker], trained: Sequence[list[nn.Parameter]]) -> None:
        """Sums the gradients of some parameters and averages the buffers, in one all-reduce."""
        statistics = [_statistics(worker.model) for worker in workers]
        if not trained[0] and not statistics[0]:
            return
        total = self.total(
            [flat([*gradients(each), *buffers]) for each, buffers in zip(trained, statistics, strict=True)]
        )
        for each, buffers in zip(trained, statistics, strict=True):
            count = put_gradients(each, total)
            for buffer, piece in zip(buffers, total[count:].split([b.numel() for b in buffers]), strict=True):
                # Batch statistics are each worker's own; their running means are kept equal, so that any worker can be
                # evaluated, and one saved for all. Counts of batches differ where a worker's share was small.
                mean = piece.view(buffer.shape) / self.workers
                buffer.copy_(mean if buffer.is_floating_point() else mean.round())

    def total(self, flats_L: Sequence[Tensor]) -> Tensor:
        """The sum of one vector of each worker, over the workers of all processes."""
        import torch

        total = flats_L[0] if len(flats_L) == 1 else torch.stack(list(flats_L)).sum(0)
        self.comm.all_reduce(total)
        return total

    def require_equal(self, workers: Sequence[Worker], digests_L: Sequence[int]) -> None:
        if self.workers == 1:
            return
        import torch

        digests = self.comm.gather(torch.tensor(list(digests_L)))
        if len(digests.unique()) > 1:
            raise RuntimeError(f"workers hold different weights: {digests.tolist()}")


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _statistics(model: nn.Module) -> list[Tensor]:
    """Buffers that are each worker's own.

    What is in eval mode, such as frozen norms, has not moved, and a mean of three equal numbers may round.
    """
    from fewer.sync.batchnorm import are_shared

    modules = (module for module in model.modules() if module.training and not are_shared(module))
    return [buffer for module in modules for buffer in module.buffers(recurse=False)]


def build(params: Params, comm: Comm, workers: int | None) -> EveryStep:
    import torch

    sent_as = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[params.gradients]
    return EveryStep(comm, workers, sent_as, round(1e6 * params.bucket_mb))
