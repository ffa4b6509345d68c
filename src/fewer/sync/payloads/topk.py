"""The largest changes alone, each as a place and a float32, with error feedback: what is left out is sent later.

Stich, Cordonnier & Jaggi, "Sparsified SGD with Memory", NeurIPS 2018. Each worker's places are its own, so that nothing
can be added up on the way: each sends its 8 bytes a number to all K - 1 others, which grows with K.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, final

from pydantic import Field

from fewer.core.config import Section
from fewer.core.protocols import Comm
from fewer.core.types import State
from fewer.sync.exchange import BUCKET_NUMBERS, Tensors, buckets, flat, split

if TYPE_CHECKING:
    from torch import Tensor

_ENTRY_BYTES = 8  # an int32 and a float32


class Params(Section):
    topk_share: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.01
    """Share of the weights whose changes are sent, the largest ones."""


@final
class TopK:
    """Means of sparse changes.

    Args:
        comm: The exchange between processes.
        workers: All workers of the run, K.
        share: Share of the numbers that are sent.
        numbers: Most numbers of a bucket.
    """

    sends_changes = True

    def __init__(self, comm: Comm, workers: int, share: float, numbers: int = BUCKET_NUMBERS) -> None:
        from fewer.sync.compressed import ErrorFeedback

        self._comm, self._share, self._numbers = comm, share, numbers
        self._feedback = ErrorFeedback(workers // comm.world_size)

    def mean(self, vectors_L: Sequence[Tensors], weights_L: Sequence[float], anchors: Tensors) -> Tensors:
        import torch

        from fewer.sync.compressed import changes

        found: dict[int, Tensor] = {}
        for places in buckets(vectors_L[0], self._numbers):
            coded = torch.stack(
                [
                    self._coded(worker, places, changes(vectors, weight, anchors, places))
                    for worker, (vectors, weight) in enumerate(zip(vectors_L, weights_L, strict=True))
                ]
            )
            total = flat(anchors, places)
            for row in self._comm.gather(coded):  # one by one: a sum in another order would differ
                index, values = row.view(2, -1)
                total.index_add_(0, index.long(), values.contiguous().view(torch.float32).to(total))
            found |= split(total, places, anchors)
        return found

    def _coded(self, worker: int, places: Sequence[int], change: Tensor) -> Tensor:
        """Places and values as int32, one after the other; keeps back all else, and what float32 loses."""
        import torch

        from fewer.sync.compressed import named

        wanted = self._feedback.added(worker, named("sent", places), change)
        index = wanted.abs().topk(max(1, round(self._share * len(wanted))), sorted=False).indices.sort().values
        values = wanted[index].float()
        lost = wanted.clone()
        lost[index] -= values.to(lost)
        self._feedback.keep(worker, named("sent", places), lost)
        return torch.cat([index.int(), values.view(torch.int32)])

    def states(self) -> list[State]:
        return self._feedback.states()

    def load_states(self, states_L: Sequence[State]) -> None:
        self._feedback.load_states(states_L)


def build(params: Params, comm: Comm, workers: int) -> TopK:
    return TopK(comm, workers, params.topk_share)


def sent_bytes(params: Params, parameters: int, workers: int, number_bytes: int) -> float:
    """What a worker sends in one sync."""
    return (workers - 1) * params.topk_share * parameters * _ENTRY_BYTES
