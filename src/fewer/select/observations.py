"""The observations of an epoch as named columns: what training forwards have shown of samples so far.

B: samples of a batch. R: rows of all processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, final

import torch

from fewer.core.observation import Column, Observed
from fewer.core.types import State

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.protocols import Comm
    from fewer.core.table import Kind, Table

_KEYS = ("ids", "copy", "counts")  # of every row, before the observed columns
_TYPES = {"ids": torch.int64, "copy": torch.int64, "counts": torch.bool, "right": torch.bool}
_TRAVEL = {"ids": torch.int32, "copy": torch.int16, "counts": torch.uint8, "right": torch.uint8}


@final
class Observations:
    """Rows of this process, and of all processes as far as they have been exchanged.

    Args:
        columns: Columns beside loss, score and correctness.
    """

    def __init__(self, columns: Sequence[Column] = ()) -> None:
        self._widths = {**dict.fromkeys((*_KEYS, "loss", "score", "right"), 1), **{c.name: c.width for c in columns}}
        self._own: list[dict[str, Tensor]] = []
        self._rows_R = torch.empty(0, sum(self._widths.values()), dtype=torch.float64)

    @property
    def is_pending(self) -> bool:
        """Whether this process knows what the others do not."""
        return bool(self._own)

    def add(self, seen_B: Observed, copy_B: Tensor, counts_B: Tensor | None = None) -> None:
        """Notes a micro-batch. Tensors stay on their device until they are exchanged.

        Args:
            seen_B: The samples and their columns; those that are missing count as zero.
            copy_B: Which repetition of its sample each entry is.
            counts_B: Which entries count; padding does not. All, if left out.
        """
        counts_B = torch.ones(len(seen_B), dtype=torch.bool) if counts_B is None else counts_B
        self._own.append({"ids": seen_B.ids_B, "copy": copy_B, "counts": counts_B, **seen_B.columns})

    def gather(self, comm: Comm) -> None:
        """Exchanges new rows, sorted by sample and copy; every process must call it, and then all have the same."""
        parts = [self._stacked(each) for each in self._own]
        self._own.clear()
        own_R = torch.cat([self._rows_R[:0], *parts])
        self._rows_R = torch.cat([self._rows_R, self._unpacked(comm.gather(self._packed(own_R)))])
        by_copy = torch.argsort(self._rows_R[:, 1], stable=True)
        self._rows_R = self._rows_R[by_copy[torch.argsort(self._rows_R[by_copy, 0], stable=True)]]

    @property
    def rows(self) -> dict[str, Tensor]:
        """The exchanged rows by column."""
        pieces = self._rows_R.split(list(self._widths.values()), dim=1)
        found = dict(zip(self._widths, pieces, strict=True))
        return {
            name: (values.squeeze(1) if self._widths[name] == 1 else values).to(_TYPES.get(name, torch.float64))
            for name, values in found.items()
        }

    @property
    def counted(self) -> Observed:
        """The exchanged rows that count."""
        rows = self.rows
        columns = {name: values[rows["counts"]] for name, values in rows.items() if name not in _KEYS}
        return Observed(rows["ids"][rows["counts"]], columns)

    def write(
        self, table: Table, kind: Kind, epoch: int, change: Callable[[Observed, Tensor], Observed] | None = None
    ) -> int:
        """Writes the exchanged rows into the table and forgets them; returns how many samples those were.

        Args:
            table: The table.
            kind: Which of its two views was looked at.
            epoch: The epoch of the weights that were used.
            change: From the rows that count and which repetition of its sample each is, to what is written instead.
        """
        counted = self.counted
        if change is not None:
            rows = self.rows
            counted = change(counted, rows["copy"][rows["counts"]])
        table.observe(kind, counted, epoch)
        self.clear()
        return len(counted)

    def clear(self) -> None:
        self._own.clear()
        self._rows_R = self._rows_R[:0]

    def state_dict(self) -> State:
        """The exchanged rows; `gather` comes before."""
        return {name: values.float() if values.is_floating_point() else values for name, values in self.rows.items()}

    def load_state_dict(self, state: State) -> None:
        self._own.clear()
        length = len(state["ids"])
        # A state from before there was a mark of what counts: everything does.
        whole = {"counts": torch.ones(length, dtype=torch.bool), **state}
        self._rows_R = self._stacked(whole) if length else self._rows_R[:0]

    def _packed(self, rows_R: Tensor) -> Tensor:
        """Rows as bytes: these travel, so each number takes the space that the table has for it."""
        columns = zip(self._types(), rows_R.T, strict=True)
        return torch.cat([values_R.to(type_)[:, None].view(torch.uint8) for type_, values_R in columns], dim=1)

    def _unpacked(self, packed: Tensor) -> Tensor:
        """The rows in what `_packed` gave, rounded as the table rounds."""
        types = self._types()
        pieces = packed.split([type_.itemsize for type_ in types], dim=1)
        copies = [piece.clone(memory_format=torch.contiguous_format) for piece in pieces]  # aligned to their types
        return torch.cat([copy.view(type_).double() for type_, copy in zip(types, copies, strict=True)], dim=1)

    def _types(self) -> list[torch.dtype]:
        """The type of each number of a row as it travels."""
        return [_TRAVEL.get(name, torch.float32) for name, width in self._widths.items() for _ in range(width)]

    def _stacked(self, columns: dict[str, Tensor]) -> Tensor:
        length = len(columns["ids"])
        missing = torch.zeros(length, 1, dtype=torch.float64)
        return torch.cat(
            [
                columns[name].double().cpu().view(length, width) if name in columns else missing.expand(-1, width)
                for name, width in self._widths.items()
            ],
            dim=1,
        )
