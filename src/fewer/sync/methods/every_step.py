"""Synchronous data parallelism: all workers add up their gradients at every step, and so stay equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from fewer.core.config import Section
from fewer.core.protocols import Comm
from fewer.core.types import Worker
from fewer.sync.base import BaseSync

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

EVERY_STEP = True
EXAMPLES: list[dict[str, Any]] = [{}]


class Params(Section):
    gradients: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Numbers that gradients are sent as: `fp32`, those of the weights, also where these are fp64; `bf16` and `fp16`,
    half the bytes, rounded before they are added up. fp16 rounds more finely, but loses what lies below 6e-8."""


def step_traffic(params: Params, shapes: Sequence[Sequence[int]], weight_bytes: int) -> tuple[int, int]:
    """What a worker sums with the others in a step, where nothing is frozen.

    Args:
        params: The keys of `[sync]`.
        shapes: Shapes of the model's parameters.
        weight_bytes: Bytes of one weight.

    Returns:
        Bytes of the tensors that are summed, and how many tensors these are.
    """
    from math import prod

    return sum(map(prod, shapes)) * (weight_bytes if params.gradients == "fp32" else 2), 1


class EveryStep(BaseSync):
    """Sums gradients over all workers in one flat all-reduce a step.

    Losses are divided by the global count before the backward, so the sum is the gradient of the global batch however
    unequal the workers' shares are. A worker whose share is empty has no gradient and adds zeros.

    Args:
        comm: The exchange between processes.
        workers: All workers of the run, a multiple of the number of processes; as many as processes, if left out.
        sent_as: The type that gradients are sent as; that of the weights, if left out.
    """

    keeps_equal = True

    def __init__(self, comm: Comm, workers: int | None = None, sent_as: torch.dtype | None = None) -> None:
        super().__init__(comm, workers)
        self.sent_as = sent_as

    def denominator(self, of_all: float, of_worker: float) -> float:
        return of_all

    def sync_gradients(self, workers: Sequence[Worker]) -> None:
        if self.workers == 1:
            return
        trained = [_trained(worker.model) for worker in workers]
        if self.sent_as is None:
            self._sum_all(workers, trained)
            return
        # Divided before they are added up, so that a sum ends no sooner than its parts.
        total = self.total([(flat(gradients(each)) / self.workers).to(self.sent_as) for each in trained])
        for each in trained:
            put_gradients(each, total.to(each[0].dtype) * self.workers)
        self.sync_buffers(workers)

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


def gradients(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Gradients, zeros where there is none."""
    import torch

    return [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors in one vector, of the type of the first that holds fractions."""
    import torch

    dtype = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
    return torch.cat([torch.zeros(0, dtype=dtype), *(tensor.flatten().to(dtype) for tensor in tensors)])


def put_gradients(parameters: Sequence[nn.Parameter], total: Tensor) -> int:
    """Gives parameters the gradients at the beginning of a vector; returns how many numbers these are."""
    import torch

    sizes = [parameter.numel() for parameter in parameters]
    for parameter, piece in zip(parameters, total[: sum(sizes)].split(sizes), strict=True):
        parameter.grad = torch.empty_like(parameter).copy_(piece.view(parameter.shape))
    return sum(sizes)


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
    return EveryStep(comm, workers, sent_as)
