"""The packer: one global queue of kept samples, the same on every rank, that gives out full batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Packed:
    """Samples of a global batch: ids, loss weights, copy numbers, and the worker that has loaded each."""

    ids_G: Tensor
    weight_G: Tensor
    copy_G: Tensor
    owner_G: Tensor

    def __len__(self) -> int:
        return len(self.ids_G)

    def take(self, index: Tensor | slice) -> Packed:
        return Packed(self.ids_G[index], self.weight_G[index], self.copy_G[index], self.owner_G[index])

    @staticmethod
    def joined(parts: Sequence[Packed]) -> Packed:
        names = Packed.__dataclass_fields__
        return Packed(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    @staticmethod
    def empty() -> Packed:
        none = torch.empty(0, dtype=torch.int64)
        return Packed(none, none.double(), none, none)

    def state_dict(self) -> dict[str, Tensor]:
        return {"ids": self.ids_G, "weight": self.weight_G, "copy": self.copy_G, "owner": self.owner_G}

    @staticmethod
    def from_state(state: dict[str, Tensor]) -> Packed:
        return Packed(state["ids"], state["weight"], state["copy"], state["owner"])


@final
class Packer:
    """A first-in, first-out queue that gives out batches of the sizes it is asked for.

    Batches leave with the plan's own sizes, so that where everything is kept each leaves just as it came. A batch is
    never one image alone (BatchNorm cannot normalise one value): where one would stay behind it leaves with the batch
    before it, and one that is all the rest of an epoch is left over.
    """

    def __init__(self) -> None:
        self.queue = Packed.empty()

    def push(self, kept: Packed) -> None:
        """Adds samples at the end of the queue."""
        self.queue = Packed.joined([self.queue, kept])

    def pop(self, size: int, last: bool) -> Packed | None:
        """The next batch, or None while it is not full.

        Args:
            size: The size the next batch should have.
            last: Nothing more will be pushed in this epoch: the rest leaves as a smaller batch.
        """
        waiting = len(self.queue)
        if waiting < min(2, size) or (waiting < size and not last):
            return None
        count = waiting if size > 1 and waiting <= size + 1 else size
        batch, self.queue = self.queue.take(slice(count)), self.queue.take(slice(count, None))
        return batch

    def clear(self) -> int:
        """Empties the queue at the end of an epoch; returns how many samples were left over (0 or 1)."""
        left, self.queue = len(self.queue), Packed.empty()
        return left

    def state_dict(self) -> dict[str, Tensor]:
        return self.queue.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.queue = Packed.from_state(state)
