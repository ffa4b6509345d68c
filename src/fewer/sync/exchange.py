"""The exchange of weights among workers, in buckets, each one flat vector.

L: workers of this process. Tensors are those of a model's parameters by their places in it, the same places on every
worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from fewer.core.types import State

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.protocols import Comm

Tensors: TypeAlias = "Mapping[int, Tensor]"

BUCKET_NUMBERS = 1 << 24  # of a flat vector, 64 MiB of float32; a larger tensor has a bucket of its own


class Payload(Protocol):
    """In which form weights go over the wire."""

    sends_changes: bool
    """Whether it sends what has changed since the last sync, rather than the weights themselves."""

    def mean(self, vectors_L: Sequence[Tensors], weights_L: Sequence[float], anchors: Tensors) -> Tensors:
        """The mean of all workers' weights, the same on every process; every process must call it.

        Args:
            vectors_L: The weights of each local worker. Those of one that weighs 0 may hold anything.
            weights_L: What they weigh in the mean; over all workers that adds up to 1.
            anchors: What they have changed from, where `sends_changes`.
        """
        ...

    def states(self) -> list[State]:
        """What each local worker has kept back, equal in names and shapes on every process."""
        ...

    def load_states(self, states_L: Sequence[State]) -> None:
        """Puts back what `states` gave."""
        ...


def buckets(tensors: Tensors, numbers: int = BUCKET_NUMBERS) -> Iterator[list[int]]:
    """Places of neighbouring tensors that hold so many numbers at most, or the place of one tensor."""
    places, held = list[int](), 0
    for place, tensor in tensors.items():
        if places and held + tensor.numel() > numbers:
            yield places
            places, held = [], 0
        places.append(place)
        held += tensor.numel()
    if places:
        yield places


def flat(tensors: Tensors, places: Sequence[int]) -> Tensor:
    """All numbers of some tensors in one new vector, in logical order whatever their memory format."""
    import torch

    chosen = [tensors[place] for place in places]
    dtype = chosen[0].dtype
    for tensor in chosen:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return torch.cat([tensor.flatten().to(dtype) for tensor in chosen])


def split(vector: Tensor, places: Sequence[int], like: Tensors) -> dict[int, Tensor]:
    """The tensors whose numbers a vector holds, as views of it."""
    pieces = vector.split([like[place].numel() for place in places])
    return {place: piece.view(like[place].shape) for place, piece in zip(places, pieces, strict=True)}


def weighted_mean(
    comm: Comm, vectors_L: Sequence[Tensors], weights_L: Sequence[float], numbers: int = BUCKET_NUMBERS
) -> dict[int, Tensor]:
    """The mean over all workers by one all-reduce a bucket; arguments as for `Payload.mean`."""
    found: dict[int, Tensor] = {}
    for places in buckets(vectors_L[0], numbers):
        total = None
        for vectors, weight in zip(vectors_L, weights_L, strict=True):
            # Not multiplied by 0: what is left out may not be finite.
            vector = flat(vectors, places).mul_(weight) if weight else flat(vectors, places).zero_()
            total = vector if total is None else total.add_(vector)
        assert total is not None
        comm.all_reduce(total)
        found |= split(total, places, vectors_L[0])
    return found
