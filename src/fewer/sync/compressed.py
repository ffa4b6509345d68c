"""Payloads in few bits, with error feedback: what rounding keeps back of a worker's change is added to its next one.

Seide et al., "1-Bit Stochastic Gradient Descent", Interspeech 2014; Karimireddy et al., "Error Feedback Fixes SignSGD
and other Gradient Compression Schemes", ICML 2019. A vector is reduced in two steps, as a ring does it: worker k of K
sends part j to worker j, which adds up what it got in full precision, and sends the sum, coded again, to all. Both
times a worker keeps back what its code lost. So each sends 2 (K - 1) / K of the coded vector, whatever K, and all apply
the same bytes: over a run, what is applied plus what is kept back is the sum of what changed.

L: workers of this process. K: all workers. N: numbers of a part. B: bytes of a coded part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, final

import torch

from fewer.core.types import State
from fewer.sync.exchange import BUCKET_NUMBERS, Tensors, buckets, flat, split

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.protocols import Comm


class Code(Protocol):
    """A code of vectors."""

    unit: int
    """Parts are a multiple of so many numbers."""

    def encode(self, values_RN: Tensor) -> Tensor:
        """Bytes (R, B), uint8, of rows of finite numbers."""
        ...

    def decode(self, bytes_RB: Tensor, dtype: torch.dtype) -> Tensor:
        """The numbers that bytes stand for, (R, N)."""
        ...


class ErrorFeedback:
    """What each local worker keeps back, by what it is kept back of."""

    def __init__(self, local: int) -> None:
        self._kept_L: list[dict[str, Tensor]] = [{} for _ in range(local)]

    def added(self, worker: int, name: str, vector: Tensor) -> Tensor:
        """A vector with what was kept back of it; one of another length starts anew."""
        kept = self._kept_L[worker].get(name)
        return vector if kept is None or kept.shape != vector.shape else vector + kept.to(vector)

    def keep(self, worker: int, name: str, lost: Tensor) -> None:
        self._kept_L[worker][name] = lost

    def states(self) -> list[State]:
        return [dict(kept) for kept in self._kept_L]

    def load_states(self, states_L: Sequence[State]) -> None:
        self._kept_L = [{name: value.clone() for name, value in state.items()} for state in states_L]


def changes(vectors: Tensors, weight: float, anchors: Tensors, places: Sequence[int]) -> Tensor:
    """What a worker has changed, times what it weighs; nothing where that is 0, as it may not be finite."""
    anchor = flat(anchors, places)
    return (flat(vectors, places) - anchor).mul_(weight) if weight else torch.zeros_like(anchor)


def named(kind: str, places: Sequence[int]) -> str:
    """What error feedback knows a bucket by."""
    return f"{kind} {places[0]} to {places[-1]}"


@final
class Compressed:
    """Means of coded changes.

    Args:
        comm: The exchange between processes.
        workers: All workers of the run, K.
        code: How vectors become bytes.
        numbers: Most numbers of a bucket.
    """

    sends_changes = True

    def __init__(self, comm: Comm, workers: int, code: Code, numbers: int = BUCKET_NUMBERS) -> None:
        self._comm, self._workers, self._code, self._numbers = comm, workers, code, numbers
        self._local = workers // comm.world_size
        self._feedback = ErrorFeedback(self._local)

    def mean(self, vectors_L: Sequence[Tensors], weights_L: Sequence[float], anchors: Tensors) -> Tensors:
        found: dict[int, Tensor] = {}
        for places in buckets(vectors_L[0], self._numbers):
            changes_L = [changes(*each, anchors, places) for each in zip(vectors_L, weights_L, strict=True)]
            change = self._reduced(changes_L, places)
            found |= split(flat(anchors, places) + change, places, anchors)
        return found

    def _reduced(self, changes_L: list[Tensor], places: Sequence[int]) -> Tensor:
        """The sum of all workers' changes of a bucket, as their codes have it."""
        count, dtype = len(changes_L[0]), changes_L[0].dtype
        size = -(-count // (self._workers * self._code.unit)) * self._code.unit  # of a part
        coded_L = []
        for worker, change in enumerate(changes_L):
            padded = torch.nn.functional.pad(change, (0, self._workers * size - count))
            coded_L.append(self._coded(worker, named("sent", places), padded.view(self._workers, size)))
        sums_LN = self._exchanged(torch.stack(coded_L)).to(dtype)
        coded = torch.cat(
            [self._coded(worker, named("summed", places), part[None]) for worker, part in enumerate(sums_LN)]
        )
        return self._code.decode(self._comm.gather(coded), dtype).flatten()[:count]

    def _coded(self, worker: int, name: str, rows: Tensor) -> Tensor:
        """The code of rows and of what was kept back of them before; keeps back what it loses."""
        wanted = self._feedback.added(worker, name, rows)
        coded = self._code.encode(wanted)
        self._feedback.keep(worker, name, wanted - self._code.decode(coded, wanted.dtype))
        return coded

    def _exchanged(self, coded_LKB: Tensor) -> Tensor:
        """Sends part j of each local worker to worker j; the sums of what the local ones got, (L, N), float64."""
        processes, local, size = self._comm.world_size, self._local, coded_LKB.shape[-1]
        rows = coded_LKB.view(local, processes, local, size).transpose(0, 1).contiguous()
        received = self._comm.exchange(rows).transpose(1, 2)  # by process, worker that gets, worker that sends
        by_getter = received.permute(1, 0, 2, 3).reshape(local, self._workers, size)
        return torch.stack([self._code.decode(each, torch.float64).sum(0) for each in by_getter])

    def states(self) -> list[State]:
        return self._feedback.states()

    def load_states(self, states_L: Sequence[State]) -> None:
        self._feedback.load_states(states_L)
