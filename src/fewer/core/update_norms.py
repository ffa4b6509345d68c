"""Norms of what an optimizer's step has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class UpdateNorms(NamedTuple):
    """How far a step moved the layers; on the device until it is read.

    Attributes:
        names: Names of the layers' matrices and filters.
        moved_L: Norm of each one's change.
        weight_L: Its norm before.
    """

    names: tuple[str, ...]
    moved_L: Tensor
    weight_L: Tensor

    def relative(self) -> dict[str, float]:
        """Change over weight by name, without layers that were zero. Waits for the device once."""
        import torch

        moved, weight = torch.stack([self.moved_L, self.weight_L]).tolist()
        each = zip(self.names, moved, weight, strict=True)
        return {name: change / before for name, change, before in each if before > 0}
