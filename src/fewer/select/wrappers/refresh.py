"""Scores again, now and then, what was left out, around any method: a sample that looked easy once is not lost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, final

from fewer.core import rng
from fewer.core.protocols import Selector
from fewer.core.types import At, Expectation
from fewer.select.wrappers.wrapper import SelectorWrapper

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table


@final
class Refresh(SelectorWrapper):
    """A selector that, before each epoch, wants a random 1/K of what the last epoch left out.

    A random draw spreads the cost evenly over the epochs; a score is K epochs old on average.
    """

    def __init__(self, selector: Selector, every: int, seed: int) -> None:
        super().__init__(selector)
        self.every, self.seed = every, seed

    def ids_to_score(self, table: Table, at: At) -> Tensor:
        import torch

        left_out = (table.seen_N & (table.column("trained", "epoch") < at.epoch - 1)).nonzero().flatten()
        drawn = rng.uniform(left_out, self.seed, "select.refresh", at.epoch) < 1 / self.every
        own = self.selector.ids_to_score(table, at)
        return left_out[drawn] if not len(own) else torch.cat([own, left_out[drawn]]).unique()

    def expected(self, at: At) -> Expectation:
        own = self.selector.expected(at)
        if at.epoch < 2:  # the first epoch leaves out what nobody has looked at yet
            return own
        share = at.share if at.last_share is None else at.last_share
        shown = at.data_share if at.last_data_share is None else at.last_data_share
        before = self.selector.expected(replace(at, epoch=at.epoch - 1, share=share, data_share=shown))
        # Of the images that the epoch shows, the last one had shown so many: it leaves out others in its turn.
        again = max(0.0, at.data_share + shown - 1) / at.data_share
        return replace(own, scored=min(1.0, own.scored + (1 - before.kept_low * again) / self.every))
