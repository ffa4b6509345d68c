"""Looks at what the first epochs have taught, then picks a method for this data, or says that plain training is best.

The first `probe` epochs train on everything. Then a random tenth of the images, 2,048 at most, is scored forward-only
with the weights so far; that is all that the probe costs beside plain training, and it is booked. What is found
decides:

* Wrong labels: more than a tenth of them look wrong (`fewer.select.evidence`): most classes have been learnt, within
  these classes the losses of these images fall into two groups, and the images of the upper one are wrongly predicted
  once more when the next epoch trains on their augmented views. Then it is `dbpd`, which leaves out suspected labels,
  of each class no more than look wrong, and what is known with a probability of 0.999 or more: a lower threshold would
  leave out too much of easy data. Not with `guards.noise_cap = 0`, which suspects nobody: it is `full` then.
* What is left to learn: the mean of 1 - score, the size of a sample's gradient at the logits. Where a tenth or less is
  left, most samples teach next to nothing any more, and `infobatch` leaves out a part of those. Where more is left,
  every sample still counts, and the accuracy of training on all of them is not had for less.

Where nothing is to be left out and no `cost` is stated, it is `full`: the reason that is printed then says so,
and that a cost can be stated. It looks again then whenever as many epochs have passed, until half of the run is over:
what the right labels have in common is learnt first, and only then do wrong ones stand apart. Under `cost` it is `srd`,
also with wrong labels and where `infobatch` costs more than is asked: more samples at first and fewer at the end, which
has done no worse than training for fewer epochs where this was measured (docs/choosing.md). A run that the probe fills
trains on everything. Neutral where nothing is to be saved: it is plain training but for the looking.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from fewer.core.clock import Duration
from fewer.core.config import Span
from fewer.core.population import Population
from fewer.core.registry import Settings
from fewer.core.types import At, Expectation, Selection, State
from fewer.select.base import BaseSelector, unweighted
from fewer.select.method_params import MethodParams, ScoredParams
from fewer.select.registry import METHODS
from fewer.select.sampling import sample_uniformly

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.protocols import Selector
    from fewer.core.table import Table

_LOOKED_AT, _PART = 2048, 10
_FREE = ("full", "infobatch", "dbpd")  # what may be picked
_PAYABLE = "srd"  # under a stated cost: it can meet any
_NOISY, _LEARNT = 0.1, 0.1
# Next to nothing but suspects is left out: at 0.95 a net that had learnt easy data was left with the mistakes. What is
# suspected is looked at again by the guards.
_KEYS: dict[str, Settings] = {"dbpd": {"threshold": 0.999, "refresh_every": 0}}
_AGAIN = 0.8  # of what looks wrong must be wrongly predicted in the next epoch, too
_SUSPECTED_FROM = "30%"  # of the run: earlier, what is not learnt yet looks like what is labelled wrongly

NEUTRAL: list[Settings] = [{}]


class Params(ScoredParams):
    guards_itself: ClassVar[bool] = True

    needs_looks = True
    method: Literal["auto"] = "auto"
    probe: Span = Duration(15, "%")
    """First epochs, on everything, after which the method is picked, and epochs between two looks; a started one
    counts."""

    @property
    def favours_hard(self) -> bool:
        return True


def first_epochs(probe: Duration, epochs: int) -> int:
    """Whole epochs of the probe, one at least."""
    return max(1, probe.whole_epochs(epochs))


def looked_at(images: int) -> int:
    """How many images the probe scores."""
    return min(_LOOKED_AT, max(1, images // _PART))


@dataclass(frozen=True)
class Pick:
    """What was found, and the method that follows from it.

    Attributes:
        method: Its name.
        reason: One sentence for the user.
        keys: The method's keys that are not at their defaults.
    """

    method: str
    reason: str
    keys: dict[str, Any] = field(default_factory=dict)


def pick(noise: float, left: float, stated_cost: bool, may_suspect: bool = True, may_prune: bool = True) -> Pick:
    """The rule.

    Args:
        noise: Share of labels that look wrong.
        left: Mean of 1 - score over the samples looked at.
        stated_cost: Whether the run is to meet a cost, so that something must be left out.
        may_suspect: Whether labels may be suspected and left out.
        may_prune: Whether `infobatch` can meet the cost.
    """
    if noise <= _NOISY and left <= _LEARNT and may_prune:
        reason = f"{1 - left:.0%} of what the labels say is predicted already: most images teach little any more"
        return Pick("infobatch", reason)
    if noise > _NOISY and may_suspect and not stated_cost:
        cap = round(noise, 3)
        guards = {"noise_cap": cap, "noise_from": _SUSPECTED_FROM}
        reason = (
            f"{noise:.0%} of the labels look wrong: it leaves out those (noise_cap {cap:g}), and what is surely known"
        )
        return Pick("dbpd", reason, {**_KEYS["dbpd"], "guards": guards})
    if noise > _NOISY:
        found = f"{noise:.0%} of the labels look wrong, and those images are the hard ones"
    elif left <= _LEARNT:
        found = f"{1 - left:.0%} of what the labels say is predicted already, but infobatch costs more than is asked"
    else:
        found = f"{left:.0%} is left to learn, and every image still counts"
    if stated_cost:
        return Pick(_PAYABLE, f"{found}: a random share that falls from epoch to epoch")
    return Pick("full", f"{found}: plain training is best here; to pay less, state select.cost")


@final
class Auto(BaseSelector):
    """Everything at first; then the method that it picks."""

    def __init__(self, params: Params, population: Population) -> None:
        import torch

        self.params, self.population = params, population
        self.packs = params.batches == "pack"
        self.inner: Selector | None = None
        self.picked: Pick | None = None
        self.looked, self.epochs = -1, 0  # epoch of the last look, and all epochs
        self.since = -1  # epoch of the last pick
        self.suspects, self.judged = torch.empty(0, dtype=torch.int64), 0  # by the last look, of so many images
        self._candidates: dict[str, Selector] = {}

    def ids_to_score(self, table: Table, at: At) -> Tensor:
        if self._looks(at):
            ids = table.seen_N.nonzero().flatten()
            return sample_uniformly(ids, looked_at(len(ids)), self.population.seed, "select.auto")
        return self.inner.ids_to_score(table, at) if self.inner else super().ids_to_score(table, at)

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        self.epochs = at.epochs
        if at.epoch == self.looked + 1 and (found := self._confirmed(table, at)):
            self._take(found, self.looked, at.epochs)
            self.since = at.epoch
        elif self._looks(at):
            self._take(self._found(table, at), at.epoch, at.epochs)
            self.since = at.epoch
        return self.inner.select(table, pool_ids, at) if self.inner else unweighted(pool_ids)

    def _looks(self, at: At) -> bool:
        """Whether this epoch begins with a look: also when it is asked again."""
        return at.epoch == self.looked or (not self._is_settled and self._may_look(at))

    def _may_look(self, at: At) -> bool:
        """Whether this epoch begins with a look as long as nothing is left out, as under a stated cost something is."""
        every = first_epochs(self.params.probe, at.epochs)
        again = at.epoch > every and at.epoch % every == 0 and 2 * at.epoch <= at.epochs and at.share is None
        return at.epoch == every or again

    @property
    def _is_settled(self) -> bool:
        """Whether there will be no other look."""
        following = self.looked + first_epochs(self.params.probe, self.epochs)
        return self.picked is not None and (self.picked.method != "full" or 2 * following > self.epochs)

    def _found(self, table: Table, at: At) -> Pick:
        """What a look finds. Wrong labels are not believed at first sight, where anything would follow from it."""
        from fewer.select.evidence import looks_wrong

        looked_at_N = table.column("scored", "epoch") == at.epoch
        score_M = table.column("scored", "score")[looked_at_N]
        left = float(1 - score_M.nan_to_num(0.0).double().mean()) if len(score_M) else 1.0
        ids_M = looked_at_N.nonzero().flatten()
        loss_M, right_M = (table.column("scored", name)[ids_M] for name in ("loss", "right"))
        # Which classes have been learnt, the last epoch says of all images: a tenth holds few of each.
        self.suspects, self.judged = looks_wrong(ids_M, loss_M, right_M, self._learnt_classes(table), self.population)
        noise = len(self.suspects) / max(1, self.judged)
        if at.share is None and self._may_suspect:
            noise = 0.0
            if at.epoch < Duration.parse(_SUSPECTED_FROM).whole_epochs(at.epochs):  # nobody would be left out before
                self.suspects = self.suspects[:0]
        return pick(noise, left, at.share is not None, self._may_suspect, self._can_prune(at))

    def _confirmed(self, table: Table, at: At) -> Pick | None:
        """What follows if the images that looked wrong were wrongly predicted again in the epoch behind the look."""
        from fewer.select.evidence import looks_wrong

        suspects, self.suspects = self.suspects, self.suspects[:0]
        loss_N, right_N = table.column("trained", "loss"), table.column("trained", "right")
        again = int((~right_N[suspects]).sum())
        noise = again / max(1, self.judged)
        is_free = self.picked is not None and self.picked.method == "full" and self._may_suspect
        if not is_free or again < _AGAIN * len(suspects) or noise <= _NOISY:
            return None
        # How many there are, all images say better than a tenth, where they fall into groups, too.
        ids_M = (table.column("trained", "epoch") >= 0).nonzero().flatten()
        of_all = looks_wrong(ids_M, loss_N[ids_M], right_N[ids_M], self._learnt_classes(table), self.population)
        return pick(min(0.5, max(noise, len(of_all[0]) / max(1, of_all[1]))), 1.0, False)

    def _learnt_classes(self, table: Table) -> Tensor:
        from fewer.select.evidence import learnt_classes

        ids_M = (table.column("trained", "epoch") >= 0).nonzero().flatten()
        return learnt_classes(ids_M, table.column("trained", "right")[ids_M], self.population)

    @property
    def _may_suspect(self) -> bool:
        return bool(self.params.guards.noise_cap)

    def _can_prune(self, at: At) -> bool:
        """Whether `infobatch` can do with what the rest of the run may cost."""
        if at.share is None:
            return True
        swing = self.params.swing(at.epochs)
        level = swing.level(at.epoch, at.share)
        ahead = [
            replace(at, epoch=epoch, progress=epoch / at.epochs, share=swing.share(epoch, level))
            for epoch in range(at.epoch, at.epochs)
        ]
        paid = sum(self._may_be(_PAYABLE, at).expected(then).kept_high for then in ahead)
        least = sum(self._may_be("infobatch", at).expected(replace(then, share=0.0)).kept_high for then in ahead)
        return least <= paid

    def _take(self, picked: Pick, epoch: int, epochs: int) -> None:
        self.picked, self.looked, self.epochs = picked, epoch, epochs
        self.inner = self._built(picked, epochs)

    def _may_be(self, method: str, at: At) -> Selector:
        """What may be picked: for what it is expected to keep."""
        if method not in self._candidates:
            self._candidates[method] = self._built(Pick(method, "", _KEYS.get(method, {})), at.epochs)
        return self._candidates[method]

    def _built(self, picked: Pick, epochs: int) -> Selector:
        from fewer import select

        return select.build(self._params(picked), self.population, epochs)

    def _params(self, picked: Pick) -> MethodParams:
        """The picked method, with those guards around it that were asked for, but for what was found."""
        params = METHODS.params(picked.method)
        keys = {key: getattr(self.params, key) for key in ("batches", "guards") if key in params.model_fields}
        if "guards" in picked.keys:
            keys["guards"] = {**self.params.guards.model_dump(mode="json"), **picked.keys["guards"]}
        found: MethodParams = params.model_validate({**picked.keys, **keys})
        return found

    def expected(self, at: At) -> Expectation:
        if at.epoch < first_epochs(self.params.probe, at.epochs):
            return Expectation(1.0, 1.0)
        if self.inner and self._is_settled:
            return self.inner.expected(at)
        images = int((self.population.group_N >= 0).sum())
        scored = looked_at(images) / max(1, images) if self._may_look(at) else 0.0
        expected = [self._may_be(method, at).expected(at) for method in (_FREE if at.share is None else (_PAYABLE,))]
        return Expectation(min(each.kept_low for each in expected), max(each.kept_high for each in expected), scored)

    def series(self, table: Table) -> dict[str, Tensor]:
        return self.inner.series(table) if self.inner else {}

    def counts(self) -> dict[str, float]:
        return self.inner.counts() if self.inner else {}

    def suspected(self) -> Tensor:
        return self.inner.suspected() if self.inner else super().suspected()

    def note(self) -> str:
        if self.picked:
            return f"auto picks {self.picked.method}: {self.picked.reason}"
        if self.epochs and first_epochs(self.params.probe, self.epochs) >= self.epochs:
            return f"auto trains plainly: its probe of {self.params.probe} takes all of the run"
        return ""

    def became(self) -> dict[str, Any]:
        if not self.picked:
            return {}
        keys = self._params(self.picked).model_dump(mode="json", exclude_defaults=True)
        return {"epoch": self.since, "reason": self.picked.reason, "select": {"method": self.picked.method, **keys}}

    def state_dict(self) -> State:
        state = {"epochs": self.epochs, "suspects": self.suspects, "judged": self.judged}
        if not self.picked or not self.inner:
            return state
        picked = {"method": self.picked.method, "reason": self.picked.reason, "keys": self.picked.keys}
        return {**state, **picked, "looked": self.looked, "since": self.since, "inner": self.inner.state_dict()}

    def load_state_dict(self, state: State) -> None:
        self.inner = self.picked = None
        state = {"epochs": 0, "suspects": self.suspects[:0], "judged": 0, "since": -1, **state}  # older ones have less
        self.looked, self.epochs, self.since = -1, state["epochs"], state["since"]
        self.suspects, self.judged = state["suspects"].clone(), state["judged"]
        if "method" in state:
            picked = Pick(METHODS.canonical(state["method"]), state["reason"], dict(state["keys"]))
            self._take(picked, state["looked"], state["epochs"])
            assert self.inner is not None
            self.inner.load_state_dict(state["inner"])


def build(params: Params, population: Population) -> Auto:
    return Auto(params, population)
