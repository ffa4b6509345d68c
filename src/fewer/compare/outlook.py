"""Outlook on a comparison: how many runs it takes and why, and what is left in full-epoch equivalents and minutes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, final

from fewer.compare.grid import Cell
from fewer.report.units import roughly

if TYPE_CHECKING:
    from fewer.plan.plan import Plan


@final
class Outlook:
    """What is ahead, by the predicted FLOPs of the runs that are missing and the seconds of those that have ended.

    Args:
        cells: All runs of the comparison, whatever their state.
        plans: The plan of every arm, by its key.
    """

    def __init__(self, cells: Sequence[Cell], plans: Mapping[str, Plan]) -> None:
        self._cells, self._plans = cells, plans
        self._own = {cell.arm.key: cell.arm.own_share for cell in cells}
        self._missing = {_place(cell) for cell in cells if cell.state in ("missing", "begun")}
        self._flops = self._seconds = 0.0
        for cell in cells:
            self._learn(cell)

    @property
    def unit_flops(self) -> float:
        """One plain epoch of the baseline."""
        return self._plans[self._cells[0].arm.key].plain_epoch_flops

    def announced(self) -> str:
        """What will run and why, and what is left."""
        total, missing = len(self._cells), len(self._missing)
        counts = f"{total} runs: {self._counted()}"
        if not missing:
            return f"{counts}; all of them are done"
        low, high = (f"{flops / self.unit_flops:,.0f}" for flops in self._left())
        fee = f"{low if low == high else f'{low} to {high}'} full-epoch equivalents"
        before = f"{total - missing} of them are done, the others" if missing < total else "they"
        return f"{counts}\n{before} take {fee}, {self._minutes()}"

    def left_s(self, cell: Cell) -> float | None:
        """Seconds that the rest will take, by the runs so far; None where none has finished.

        Args:
            cell: A run that has just ended, or was there before.
        """
        if _place(cell) in self._missing:
            self._missing.remove(_place(cell))
            self._learn(cell)
        return sum(self._left()) / 2 * self._seconds / self._flops if self._flops else None

    def _learn(self, cell: Cell) -> None:
        if cell.state == "done" and (ledger := cell.result["ledger"])["flops"]:
            self._flops += ledger["flops"] - ledger.get("shared_flops", 0)  # the seconds are the run's own
            self._seconds += ledger["seconds"]["total"]

    def _left(self) -> tuple[float, float]:
        """FLOPs of the missing runs, by the plans' lower and upper bounds."""
        own = [(self._own[key], self._plans[key].predicted["flops"]) for key, _ in self._missing]
        return sum(share * low for share, (low, _) in own), sum(share * high for share, (_, high) in own)

    def _minutes(self) -> str:
        """Time of the missing runs: by finished ones where there are any, else by a probe of a few steps."""
        if self._flops:
            seconds = sum(self._left()) / 2 * self._seconds / self._flops
            return f"{roughly(seconds)} by the runs that are done"
        from fewer.session.probe import seconds_per_flop

        seconds = sum(self._left()) / 2 * seconds_per_flop(self._plans[self._cells[0].arm.key])
        return (
            f"{roughly(seconds)} by a probe of a few training steps; loading and evaluation come on top, and the "
            "first run will tell more"
        )

    def _counted(self) -> str:
        """The runs as a sum: seeds times arms, and why so many."""
        arms = Counter(cell.arm.kind for cell in {cell.arm.key: cell for cell in self._cells}.values())
        seeds = len({cell.seed for cell in self._cells})
        variants, curves = arms["variant"], arms["plain"] + arms["random"]
        compared = f"plain training and {variants} variant{'' if variants == 1 else 's'}"
        if not curves:
            return f"{seeds} seeds of {compared}"
        plain = "cooldowns of one trunk" if any(cell.arm.trunk for cell in self._cells) else "plain"
        return (
            f"{seeds} seeds of {compared}, and of {curves} shorter runs, {plain} and random, that show what the same "
            f"cost buys without a method (--no-curve leaves out these {seeds * curves})"
        )


def _place(cell: Cell) -> tuple[str, int]:
    return cell.arm.key, cell.seed
