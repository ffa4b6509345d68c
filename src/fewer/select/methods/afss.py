"""Sampling by what a detector finds (AFSS, Xie et al. 2026, arXiv 2603.17684): easy images are only reviewed.

What the model has learnt of an image is the lower of its precision and its recall, from the last look at it. An image
at or below `hard_until` is hard, and trained on in every epoch; so is one that nobody has looked at. One above
`easy_from` is easy, and trained on once in `review_every` epochs, so that it is not forgotten. Of those between, each
epoch takes a share, those first that have waited longest. The first `warmup` is on everything.

Precision and recall are the task's own numbers; detection has them, at an IoU of 0.5. Where training forwards do not
tell them, an image is looked at forward-only once in `look_every` epochs, a forward of every image at first and of an
equal part of them in each epoch from then on. That is booked, and counts towards `cost`. Neutral at
hard_until = easy_from = 1.

The classes of images and the order within them are the published ones. The numbers are our defaults, for runs of tens
of epochs; longer ones can review more rarely. Easy images take turns by lot, rather than all in one epoch once they
have waited. Under `cost` an epoch takes what is due for review, then hard images, then those between, then easy ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

from fewer.core import rng
from fewer.core.clock import Duration
from fewer.core.config import Count, Share, Span
from fewer.core.observation import Column
from fewer.core.population import Population
from fewer.core.registry import Settings
from fewer.core.types import At, Expectation, Selection
from fewer.select.base import BaseSelector, unweighted
from fewer.select.method_params import ScoredParams
from fewer.select.sampling import count_of, top_k

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Kind, Table

_ASKED = ("precision", "recall")

NEUTRAL: list[Settings] = [{"hard_until": 1.0, "easy_from": 1.0}]


class Params(ScoredParams):
    needs_looks = True
    method: Literal["afss"] = "afss"
    hard_until: Share = 0.55
    """Images whose lower one of precision and recall is this or less are hard; 1: all are."""
    easy_from: Share = 0.85
    """Images whose lower one of precision and recall is above this are easy; at least `hard_until`."""
    middling: Share = 0.4
    """Share of the images between the two that an epoch takes."""
    review_every: Count = 5
    """Epochs in which every easy image is trained on once."""
    look_every: Count = 4
    """Epochs in which every image is looked at once, forward-only, unless training tells as much."""
    warmup: Span = Duration(20, "%")
    """First epochs, on everything; one at least."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        found = super().conflicts(epochs)
        if self.easy_from < self.hard_until:
            found["easy_from"] = f"is below select.hard_until = {self.hard_until:g}; give {self.hard_until:g} or more"
        found |= self.changed(["refresh_every"], "has no effect: select.look_every says when images are looked at")
        reason = "has no effect: images are compared by precision and recall, not by losses; leave it out"
        return found | self.changed(["rank_within"], reason)

    @property
    def favours_hard(self) -> bool:
        return True

    @property
    def is_neutral(self) -> bool:
        """Whether all images are hard whatever is found in them, so that nobody needs to look."""
        return self.hard_until == 1 and self.cost is None


@final
class Afss(BaseSelector):
    """Takes hard images, a share of those between, and easy ones in turn."""

    def __init__(self, params: Params, population: Population) -> None:
        import torch

        self.params, self.seed = params, population.seed
        self.packs = params.batches == "pack"
        self.columns = () if params.is_neutral else tuple(Column(name) for name in _ASKED)
        ids = (population.group_N >= 0).nonzero().flatten()
        self.turns: dict[str, Tensor] = {}
        for purpose in ("look", "review"):
            # Places in a random order: each turn has as many images as any other.
            turn_N = torch.zeros(len(population.group_N), dtype=torch.int64)
            turn_N[ids[rng.shuffled(ids, self.seed, "select.afss", purpose)]] = torch.arange(len(ids))
            self.turns[purpose] = turn_N
        self.counted: dict[str, float] = {}

    def ids_to_score(self, table: Table, at: At) -> Tensor:
        import torch

        if not self._chooses(at):
            return torch.empty(0, dtype=torch.int64)
        found_N, told_N = self._last_look(table)
        told_N = told_N & (at.epoch - table.column("trained", "epoch") < self.params.look_every)
        due_N = self._has_turn("look", self.params.look_every, at) & ~told_N
        return (table.seen_N & (found_N.isnan() | due_N)).nonzero().flatten()

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        import torch

        if not self._chooses(at):
            self.counted = {}
            return unweighted(pool_ids)
        pool_ids = pool_ids.sort().values
        found_M = self._last_look(table)[0][pool_ids]
        waited_M = at.epoch - table.column("trained", "epoch")[pool_ids].double()
        easy_M = found_M > self.params.easy_from
        hard_M = ~(found_M > self.params.hard_until)
        middling_M = ~easy_M & ~hard_M
        due_M = easy_M & self._has_turn("review", self.params.review_every, at)[pool_ids]
        masks = {"hard": hard_M, "middling": middling_M, "easy": easy_M}
        self.counted = {f"afss.{name}": float(mask_M.sum()) for name, mask_M in masks.items()}
        lots = self.seed, "select.afss", at.epoch
        if at.share is None:
            count = round(self.params.middling * int(middling_M.sum()))
            taken = top_k(pool_ids[middling_M], waited_M[middling_M], count, *lots)
            return unweighted(torch.cat([pool_ids[hard_M | due_M], taken]))
        # Three tiers, each with an order of its own below 1.
        within_M = torch.where(hard_M, 1 - found_M.nan_to_num(0.0), waited_M / (waited_M + 1)) / 2
        value_M = 3.0 * due_M + 2.0 * hard_M + 1.0 * middling_M + within_M
        return unweighted(top_k(pool_ids, value_M, count_of(at.share, len(pool_ids)), *lots))

    def expected(self, at: At) -> Expectation:
        if not self._chooses(at):
            return Expectation(1.0, 1.0)
        scored = 1.0 if at.epoch == self._warmup(at) else 1 / self.params.look_every
        return Expectation(0.0, 1.0, scored) if at.share is None else Expectation(at.share, at.share, scored)

    def counts(self) -> dict[str, float]:
        """Hard, middling and easy images of the last choice."""
        return self.counted

    def _warmup(self, at: At) -> int:
        return max(1, self.params.warmup.whole_epochs(at.epochs))

    def _chooses(self, at: At) -> bool:
        return not self.params.is_neutral and at.epoch >= self._warmup(at)

    def _has_turn(self, purpose: str, every: int, at: At) -> Tensor:
        """Which images have their turn in an epoch, a mask over all ids: each once in so many epochs."""
        return (self.turns[purpose] + at.epoch) % every == 0

    def _last_look(self, table: Table) -> tuple[Tensor, Tensor]:
        """The lower one of precision and recall of every id, NaN where unknown; and whether training has told it."""
        import torch

        trained_N, scored_N = _lower(table, "trained"), _lower(table, "scored")
        trained_epoch_N, scored_epoch_N = table.column("trained", "epoch"), table.column("scored", "epoch")
        # An epoch's looks come before its training.
        told_N = ~trained_N.isnan() & ~(scored_epoch_N > trained_epoch_N)
        return torch.where(told_N, trained_N, scored_N), told_N


def _lower(table: Table, kind: Kind) -> Tensor:
    import torch

    return torch.minimum(*(table.column(kind, name) for name in _ASKED))


def build(params: Params, population: Population) -> Afss:
    return Afss(params, population)
