"""What a loop has said of samples since the table was last brought up to date.

R: rows of all ranks. B: samples of a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch

from fewer.core.errors import DivergedError
from fewer.select.own_loop.ranks import all_gathered

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.protocols import Comm
    from fewer.core.table import Kind, Table

_COLUMNS = 6  # id, copy, counts, loss, score, right


@final
class Observations:
    """Rows of this rank, and of all ranks as far as they have been exchanged."""

    def __init__(self) -> None:
        self._own: list[tuple[Tensor, ...]] = []
        self.rows_R = torch.empty(0, _COLUMNS, dtype=torch.float64)

    @property
    def pending(self) -> bool:
        """Whether this rank knows what others do not."""
        return bool(self._own)

    def add(self, *columns_B: Tensor) -> None:
        """Notes ids, copies, whether they count, losses, scores, correctness. Tensors may stay on their device."""
        self._own.append(columns_B)

    def gather(self, comm: Comm, epoch: int) -> None:
        """Exchanges what is new; every rank must call it. The result depends on no rank's number.

        Raises:
            DivergedError: A loss is not finite.
        """
        columns = [torch.cat([value.double().cpu() for value in values]) for values in zip(*self._own, strict=True)]
        own = torch.stack(columns, dim=1) if columns else torch.empty(0, _COLUMNS, dtype=torch.float64)
        self._own.clear()
        rows_R = torch.cat([self.rows_R, all_gathered(comm, own)])
        ids_R, copy_R = rows_R[:, 0].long(), rows_R[:, 1].long()
        copies = int(copy_R.max()) + 2 if len(rows_R) else 1  # padding's copy is -1
        self.rows_R = rows_R[torch.argsort(ids_R * copies + copy_R, stable=True)]
        counted_R = self.counted
        require_finite(counted_R[:, 3], counted_R[:, 0], epoch)

    @property
    def counted(self) -> Tensor:
        return self.rows_R[self.rows_R[:, 2] > 0]

    def tell(self, table: Table, kind: Kind, epoch: int) -> int:
        """Writes what has been exchanged into the table, and forgets it; returns how many samples that were."""
        ids_R, _, _, loss_R, score_R, right_R = self.counted.unbind(1)
        table.observe(kind, ids_R.long(), loss_R, score_R, right_R.bool(), epoch)
        self.rows_R = self.rows_R[:0]
        return len(ids_R)


def require_finite(loss_B: Tensor, ids_B: Tensor, epoch: int) -> None:
    """Raises DivergedError where a loss is NaN or infinite."""
    if not (finite_B := torch.isfinite(loss_B)).all():
        found, more = int(ids_B[~finite_B][0]), int((~finite_B).sum()) - 1
        others = f", and {more} more are not finite either" if more else ""
        raise DivergedError(
            f"the loss of sample {found} in epoch {epoch} is {float(loss_B[~finite_B][0])}{others}; nothing can be "
            "chosen by it: lower the learning rate, clip gradients, or skip such batches before they are observed"
        )
