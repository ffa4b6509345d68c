"""Guards around any method that chooses by scores: class floor, noise cap, never an empty epoch.

A guard mends what a method leaves out; where a method leaves out nothing, a guard does nothing. What each has done is
counted. N: all ids. M: samples of the pool. C: classes. G: samples of a global batch.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, final

import torch

from fewer.core import rng
from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.protocols import Selector
from fewer.core.types import At, Expectation, KeepMask, Selection, State
from fewer.select.evidence import Evidence
from fewer.select.method_params import Guards
from fewer.select.sampling import exclude, top_k, top_k_per_class
from fewer.select.wrappers.wrapper import SelectorWrapper

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

_SUSPECTS_REFRESHED = 4  # a random 1/4 of the suspected labels is looked at again before each epoch
_COVERING = 4  # a choice of so many times the floor holds what the floor asks of most classes


@final
class GuardedSelector(SelectorWrapper):
    """A selector whose choice is mended by guards.

    Args:
        selector: The method.
        guards: Which guards are on.
        population: Labels of the training set.
        favours_hard: Whether the method prefers high losses: the noise cap applies to no other.
        epochs: All epochs of the run.
    """

    def __init__(
        self, selector: Selector, guards: Guards, population: Population, favours_hard: bool, epochs: int
    ) -> None:
        super().__init__(selector)
        self.guards, self.population, self.favours_hard = guards, population, favours_hard
        self.noise_from = guards.noise_from.whole_epochs(epochs)
        label_N = population.group_N
        self.images_C = torch.bincount(label_N[label_N >= 0], minlength=population.groups)
        floor_C = (self.images_C * guards.class_floor).ceil().long().clamp(min=2)
        self.floor_C = torch.minimum(floor_C, self.images_C) if guards.class_floor else torch.zeros_like(self.images_C)
        self.suspects = torch.empty(0, dtype=torch.int64)
        self.evidence = Evidence(population)
        self.seen_C, self.kept_C = torch.zeros_like(self.images_C), torch.zeros_like(self.images_C)
        self.added = {"class_floor": 0, "never_empty": 0}
        self.cap = 0.0
        self.not_a_number = 0

    # --- Before the epoch -------------------------------------------------------------------------------------

    def ids_to_score(self, table: Table, at: At) -> Tensor:
        own = self.selector.ids_to_score(table, at)
        if self.selector.in_batch(at):  # suspects are scored in their batch, like everything
            return own
        again = rng.uniform(self.suspects, self.population.seed, "select.suspects", at.epoch) < 1 / _SUSPECTS_REFRESHED
        return own if not again.any() else torch.cat([own, self.suspects[again]]).unique()

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        self.added = dict.fromkeys(self.added, 0)
        self.seen_C, self.kept_C = torch.zeros_like(self.seen_C), torch.zeros_like(self.kept_C)
        self.suspects = self._suspects(table, pool_ids, at)
        self.not_a_number = int((table.seen_N & ~torch.isfinite(table.loss_N))[pool_ids].sum())
        trusted = exclude(pool_ids, self.suspects, len(table))
        found = self.selector.select(table, trusted, _of_fewer(at, len(pool_ids), len(trusted)))
        if self.selector.in_batch(at):
            return replace(found, ids_M=pool_ids, weight_M=torch.ones(len(pool_ids), dtype=torch.float64))
        left = exclude(trusted, found.ids_M, len(table))
        if not len(left):  # nothing to mend
            return found
        return self._mended(found, trusted, left, table, at)

    def _suspects(self, table: Table, pool_ids: Tensor, at: At) -> Tensor:
        """Ids whose labels are suspected: what there is evidence against, or as many as the user says are wrong.

        A stated share is one of every class, because a rare class is predicted wrongly as a whole for long, and would
        be all suspects: of its wrongly predicted, those of the highest losses.
        """
        self.cap = 0.0
        asked = self.guards.noise_cap
        if not self.favours_hard or not asked or at.epoch < self.noise_from:
            return pool_ids[:0]
        if self.selector.expected(at).kept_low == 1.0:  # a method that is to leave out nothing leaves out no suspects
            return pool_ids[:0]
        loss_M, right_M = table.loss_N[pool_ids], table.right_N[pool_ids]
        if asked == "auto":
            suspects = self.evidence.look(pool_ids, loss_M, right_M)
            self.cap = self.evidence.share
            return suspects.sort().values
        self.cap = asked
        wrong = pool_ids[torch.isfinite(loss_M) & ~right_M]
        label_N, lots = self.population.group_N, (self.population.seed, "select.noise", at.epoch)
        quota_C = (self.cap * self.images_C + 1e-9).long()
        return top_k_per_class(wrong, label_N[wrong], quota_C, table.loss_N[wrong], *lots).sort().values

    def _mended(self, found: Selection, trusted: Tensor, left: Tensor, table: Table, at: At) -> Selection:
        label_N = self.population.group_N
        trusted_C, left_C = (torch.bincount(label_N[ids], minlength=len(self.images_C)) for ids in (trusted, left))
        present_C = trusted_C - left_C
        lacking_C = (self.floor_C - present_C).clamp(min=0)
        lots = self.population.seed, "select.floor", at.epoch
        loss_N = self._ranked(table.loss_N)
        floor = top_k_per_class(left, label_N[left], lacking_C, loss_N[left], *lots)
        self.added["class_floor"] = len(floor)
        ids_M = torch.cat([found.ids_M, floor])
        lacking = self._least() - len(ids_M)
        left = exclude(left, floor, len(table))
        rest = top_k(left, loss_N[left], lacking, self.population.seed, "select.empty", at.epoch)
        self.added["never_empty"] = len(rest)
        ids_M = torch.cat([ids_M, rest])
        ones = torch.ones(len(ids_M) - len(found.ids_M), dtype=torch.float64)
        scale = found.lr_scale
        if scale > 1:  # it makes up for steps that are left out, and fewer of them are now
            scale = max(1.0, scale * max(1, len(found.ids_M)) / len(ids_M))
        return replace(found, ids_M=ids_M, weight_M=torch.cat([found.weight_M, ones]), lr_scale=scale)

    def _ranked(self, loss_M: Tensor) -> Tensor:
        """What decides which samples are added: the loss, or lots alone for a method that does not prefer high losses.

        Such a method would else be given wrong labels that nothing makes it take.
        """
        return loss_M if self.favours_hard else torch.zeros_like(loss_M)

    def _least(self) -> int:
        """Samples that an epoch must hold: two of each class can still be distinguished and normalised."""
        return 2 * int((self.images_C > 0).sum()) if self.guards.never_empty else 0

    # --- In the batch -----------------------------------------------------------------------------------------

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        ids_G, loss_G = seen_G.ids_B, seen_G.loss_B
        trusted_G = ~torch.isin(ids_G, self.suspects)
        mask_G, weight_G = torch.zeros_like(trusted_G), torch.ones(len(ids_G), dtype=torch.float64)
        if trusted_G.any():
            of_trusted = _of_fewer(at, len(ids_G), int(trusted_G.sum()))
            inner = self.selector.keep(seen_G.take(trusted_G), of_trusted)
            mask_G[trusted_G], weight_G[trusted_G] = inner.mask_G, inner.weight_G
        own_G = mask_G.clone()
        label_G = self.population.group_N[ids_G]
        classes = len(self.images_C)
        self.seen_C = self.seen_C + torch.bincount(label_G, minlength=classes)
        self.kept_C = self.kept_C + torch.bincount(label_G[mask_G], minlength=classes)
        # Of what has been seen so far, each class must have had its part of the floor: at the epoch's end, all of it.
        due_C = (self.floor_C * self.seen_C / self.images_C.clamp(min=1)).ceil().long()
        mask_G = self._added(mask_G, ids_G, loss_G, label_G, trusted_G, due_C - self.kept_C, "class_floor", at.epoch)
        due = math.ceil(self._least() * int(self.seen_C.sum()) / max(1, int(self.images_C.sum())))
        lacking = torch.tensor([due - int(self.kept_C.sum())])
        all_G = torch.zeros_like(label_G)
        mask_G = self._added(mask_G, ids_G, loss_G, all_G, trusted_G, lacking, "never_empty", at.epoch)
        return KeepMask(mask_G, torch.where(mask_G & ~own_G, 1.0, weight_G))

    def _added(
        self,
        mask_G: Tensor,
        ids_G: Tensor,
        loss_G: Tensor,
        group_G: Tensor,
        trusted_G: Tensor,
        lacking: Tensor,
        guard: str,
        epoch: int,
    ) -> Tensor:
        left_G = ~mask_G & trusted_G
        count, lots = lacking.clamp(min=0), (self.population.seed, f"select.{guard}", epoch)
        added = top_k_per_class(ids_G[left_G], group_G[left_G], count, self._ranked(loss_G)[left_G], *lots)
        self.added[guard] += len(added)
        self.kept_C = self.kept_C + torch.bincount(self.population.group_N[added], minlength=len(self.kept_C))
        return mask_G | torch.isin(ids_G, added)

    # --- Reports ----------------------------------------------------------------------------------------------

    def expected(self, at: At) -> Expectation:
        own = self.selector.expected(at)
        if own.kept_low == 1.0 or not len(self.images_C):
            return own
        suspicious = self.favours_hard and at.epoch >= self.noise_from
        # In the batch the floor is a share of what is shown; before an epoch, of all images.
        shown = 1.0 if self.selector.in_batch(at) else at.data_share
        least = max(int(self.floor_C.sum()), self._least()) / max(1, int(self.images_C.sum())) / shown
        # A class that shows fewer images than its floor asks for lowers what is sure.
        low = max(own.kept_low, min(1.0, least) if at.data_share == 1 else 0.0)
        # Where a method keeps little more than the floor, the floor comes on top: it keeps samples of other classes.
        high = min(1.0, max(own.kept_high, min(own.kept_high + least, _COVERING * least)))
        # What is suspected is left out whatever the method says, and under a given share others take its place.
        most = 0.5 if self.guards.noise_cap == "auto" else float(self.guards.noise_cap)
        if at.share is None:
            return replace(own, kept_low=low * (1.0 - most) if suspicious else low, kept_high=high)
        # Looking at suspects again must be paid for, too; how many there will be is not known where they are estimated.
        cap = self.cap if self.guards.noise_cap == "auto" else most
        looks = suspicious and at.epoch > self.noise_from and not self.selector.in_batch(at)
        again = cap / _SUSPECTS_REFRESHED if looks else 0.0
        return replace(own, kept_low=low, kept_high=high, scored=min(1.0, own.scored + again))

    def counts(self) -> dict[str, float]:
        counts = {f"guard.{name}": float(count) for name, count in self.added.items() if count}
        if len(self.suspects):
            counts |= {"guard.suspects": float(len(self.suspects)), "guard.noise_cap": self.cap}
        if self.not_a_number:  # looked at, but the loss was none: methods take them for hard
            counts["guard.not_a_number"] = float(self.not_a_number)
        return {**self.selector.counts(), **counts}

    def suspected(self) -> Tensor:
        return torch.cat([self.selector.suspected(), self.suspects]).sort().values

    def state_dict(self) -> State:
        return {
            "selector": self.selector.state_dict(),
            "suspects": self.suspects,
            "evidence": self.evidence.state_dict(),
            "seen": self.seen_C,
            "kept": self.kept_C,
            "added": dict(self.added),
            "cap": self.cap,
            "not_a_number": self.not_a_number,
        }

    def load_state_dict(self, state: State) -> None:
        self.selector.load_state_dict(state["selector"])
        self.suspects = state["suspects"].clone()
        if "evidence" in state:  # older states have none
            self.evidence.load_state_dict(state["evidence"])
        self.seen_C, self.kept_C = state["seen"].clone(), state["kept"].clone()
        self.added, self.cap = dict(state["added"]), state["cap"]
        self.not_a_number = state["not_a_number"]


def _of_fewer(at: At, pool: int, trusted: int) -> At:
    """The moment for a method that is shown but the trusted samples: a share of all is a larger share of them."""
    return at if at.share is None else replace(at, share=min(1.0, at.share * pool / max(1, trusted)))
