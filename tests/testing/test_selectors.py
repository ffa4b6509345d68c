"""The conformance kit: selectors that break one promise each are caught, by that promise's name."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor

from fewer.core import rng
from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.protocols import Selector
from fewer.core.table import Table
from fewer.core.types import At, Expectation, KeepMask, Selection, State
from fewer.select.base import BaseSelector, unweighted
from fewer.testing import Violation, check_selector
from stories import build_on


class Good(BaseSelector):
    """Half of the samples, those of the highest losses; in the batch half of it, where asked. Has some state."""

    def __init__(self, population: Population, is_fresh: bool = False) -> None:
        self.population, self.is_fresh, self.calls = population, is_fresh, 0

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        self.calls += 1
        if self.is_fresh:
            return unweighted(pool_ids)
        return self.pick(table, pool_ids.sort().values, at)

    def pick(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        loss_M = table.loss_N[pool_ids].nan_to_num(float("inf"))
        hardest = loss_M.argsort(descending=True, stable=True)
        return unweighted(pool_ids[hardest[: self.count(pool_ids, at)]])

    def count(self, pool_ids: Tensor, at: At) -> int:
        return max(1, round(self.share(at) * len(pool_ids)))

    def share(self, at: At) -> float:
        return 0.5 if at.share is None else at.share

    def in_batch(self, at: At) -> bool:
        return self.is_fresh

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        ids_G = seen_G.ids_B
        kept = ids_G[ids_G.argsort()][: max(1, round(self.share(at) * len(ids_G)))]
        return KeepMask(torch.isin(ids_G, kept), torch.ones(len(ids_G), dtype=torch.float64))

    def expected(self, at: At) -> Expectation:
        return Expectation(self.share(at), self.share(at), float(self.is_fresh))

    def state_dict(self) -> State:
        return {"calls": self.calls}

    def load_state_dict(self, state: State) -> None:
        self.calls = state["calls"]


def with_(**methods: Callable[..., Any]) -> type[Good]:
    return type("Broken", (Good,), methods)


def listed(change: Callable[[Selection], Selection]) -> type[Good]:
    """One whose choice is changed before it is given."""
    return with_(pick=lambda self, table, ids, at: change(Good.pick(self, table, ids, at)))


def kept(change: Callable[[KeepMask, Tensor], KeepMask]) -> type[Good]:
    """One that chooses in the batch, and whose answer is changed."""

    class Broken(Good):
        def __init__(self, population: Population) -> None:
            super().__init__(population, is_fresh=True)

        def keep(self, seen_G: Observed, at: At) -> KeepMask:
            return change(super().keep(seen_G, at), seen_G.ids_B)

    return Broken


def of_the_stream(self: Good, table: Table, ids: Tensor, at: At) -> Selection:
    return unweighted(ids[torch.rand(len(ids)).argsort()[: self.count(ids, at)]])


def of_a_seeded_stream(self: Good, table: Table, ids: Tensor, at: At) -> Selection:
    torch.manual_seed(at.epoch)
    return of_the_stream(self, table, ids, at)


def of_numpys_seeded_stream(self: Good, table: Table, ids: Tensor, at: At) -> Selection:
    numpy.random.seed(at.epoch)
    return Good.pick(self, table, ids, at)


def of_the_calls(self: Good, table: Table, ids: Tensor, at: At) -> Selection:
    return unweighted(ids[rng.shuffled(ids, 0, self.calls)[: self.count(ids, at)]])


def with_a_table_of_its_own(self: Good, table: Table, ids: Tensor, at: At) -> Selection:
    table.column("trained", "loss")[ids] = 0.0
    return Good.pick(self, table, ids, at)


def in_place(self: Good, table: Table, pool_ids: Tensor, at: At) -> Selection:
    pool_ids.copy_(pool_ids.flip(0))
    return Good.pick(self, table, pool_ids.sort().values, at)


class Lucky(Good):
    """Chooses by a number that it drew when it was built."""

    def __init__(self, population: Population) -> None:
        super().__init__(population)
        self.calls = random.SystemRandom().randrange(10**9)

    pick = of_the_calls


BROKEN: dict[str, tuple[Callable[[Population], Any], str]] = {
    "int32": (listed(lambda c: Selection(c.ids_M.int(), c.weight_M)), "select: ids are int64; they are torch.int32"),
    "list": (listed(lambda c: Selection(c.ids_M.tolist(), c.weight_M)), "select: ids are int64; they are list"),  # type: ignore[arg-type]
    "column": (listed(lambda c: Selection(c.ids_M[:, None], c.weight_M)), "select: ids have one dimension"),
    "positions": (
        listed(lambda c: Selection(torch.arange(len(c.ids_M)), c.weight_M)),
        "select: samples of the pool only",
    ),
    "float32": (listed(lambda c: Selection(c.ids_M, c.weight_M.float())), "select: one weight a sample, float64"),
    "one weight": (listed(lambda c: Selection(c.ids_M, c.weight_M[:1])), "select: one weight a sample"),
    "negative": (listed(lambda c: Selection(c.ids_M, -c.weight_M)), "select: weights are finite and not negative"),
    "infinite": (listed(lambda c: Selection(c.ids_M, c.weight_M / 0)), "select: weights are finite and not negative"),
    "lr_scale": (listed(lambda c: Selection(c.ids_M, c.weight_M, 0.0)), "the learning rate is a positive number"),
    "nothing": (listed(lambda c: unweighted(c.ids_M[:0])), "select: something is chosen"),
    "stream": (with_(pick=of_the_stream), "select: equal state gives an equal choice"),
    "seeded": (with_(pick=of_a_seeded_stream), "random streams of torch, numpy and Python are left alone"),
    "seeded numpy": (with_(pick=of_numpys_seeded_stream), "random streams of torch, numpy and Python are left alone"),
    "suspects": (with_(suspected=lambda self: torch.tensor([0])), "suspected: samples of the pool only"),
    "note": (with_(note=lambda self: None), "note is text"),
    "no note": (with_(note=property(lambda self: "")), "suspected or note raised TypeError"),
    "lucky": (Lucky, "a run that is repeated gives the same choices"),
    "listing": (
        with_(select=lambda self, table, ids, at: unweighted(ids[: self.count(ids, at)])),
        "select: the choice does not depend on how the pool is listed",
    ),
    "unsaved": (
        with_(pick=of_the_calls, state_dict=lambda self: {}, load_state_dict=lambda self, state: None),
        "equal",
    ),
    "not loaded": (with_(load_state_dict=lambda self, state: None), "saved and loaded goes on as the other does"),
    "set": (with_(state_dict=lambda self: {"calls": self.calls, "seen": {1}}), "tensors and JSON values"),
    "tuple": (with_(state_dict=lambda self: {"calls": (self.calls,)}), "tensors and JSON values"),
    "table": (with_(pick=with_a_table_of_its_own), "the table is read only"),
    "pool": (with_(select=in_place), "select: the pool is read only"),
    "upside down": (
        with_(expected=lambda self, at: Expectation(0.6, 0.4)),
        "expected gives shares, the lower one first",
    ),
    "cheap": (with_(expected=lambda self, at: Expectation(0.1, 0.2)), "expected bounds what is chosen; 26 of 51"),
    "share ignored": (
        with_(count=lambda self, ids, at: round(0.5 * len(ids)) - 5 * (at.epoch > 2 and at.share is not None)),
        "half the cost, epoch 3: expected bounds what is chosen; 21 of 51",
    ),
    "falling": (
        with_(expected=lambda self, at: Expectation(0.0, 1 - (at.share or 0))),
        "does not get cheaper as At.share",
    ),
    "fewer": (
        with_(
            count=lambda self, ids, at: round((1 - self.share(at)) * 10) + 1,
            expected=lambda self, at: Expectation(0.0, 1.0),
        ),
        r"a larger At.share does not choose fewer samples; shares of \[0.0, 0.25, 0.5, 0.75, 1.0\] chose \[11, ",
    ),
    "never seen": (
        with_(pick=lambda self, table, ids, at: unweighted(ids[: round(float(table.loss_N[ids].mean()))])),
        "four classes, epoch 0: select raised ValueError",
    ),
    "two classes": (
        with_(
            pick=lambda self, table, ids, at: unweighted(ids[self.population.group_N[ids].bincount()[1] :]),
            expected=lambda self, at: Expectation(0.0, 1.0),
        ),
        "one class, epoch 0: select raised IndexError",
    ),
    "three samples": (
        with_(
            pick=lambda self, table, ids, at: unweighted(ids[ids.topk(3).indices]),
            expected=lambda self, at: Expectation(0.0, 1.0),
        ),
        "two samples, epoch 0: select raised RuntimeError",
    ),
    "ids_to_score others": (
        with_(ids_to_score=lambda self, table, at: torch.tensor([0])),
        "ids_to_score: samples of the pool only",
    ),
    "ids_to_score twice": (
        with_(ids_to_score=lambda self, table, at: table.seen_N.nonzero().flatten().repeat(2)),
        "ids_to_score names each sample once",
    ),
    "ids_to_score a few": (
        with_(ids_to_score=lambda self, table, at: table.seen_N.nonzero().flatten()[torch.rand(1).item() > 0.5 :]),
        "ids_to_score: equal state gives an equal answer",
    ),
    "scores": (kept(lambda keep, ids: KeepMask(keep.mask_G.double(), keep.weight_G)), "keep: the mask is boolean"),
    "part": (kept(lambda keep, ids: KeepMask(keep.mask_G[:-1], keep.weight_G)), "says something of every sample"),
    "keep weights": (
        kept(lambda keep, ids: KeepMask(keep.mask_G, -keep.weight_G)),
        "keep: weights are finite and not neg",
    ),
    "keep first": (
        kept(lambda keep, ids: KeepMask(torch.arange(len(ids)) < len(ids) // 2, keep.weight_G)),
        "keep: the answer does not depend on how the batch is listed",
    ),
    "keep lucky": (
        kept(lambda keep, ids: KeepMask(torch.rand(len(ids)) < 0.5, keep.weight_G)),
        "keep: equal state gives an equal answer",
    ),
    "keep all": (
        kept(lambda keep, ids: KeepMask(torch.ones_like(keep.mask_G), keep.weight_G)),
        "expected bounds what is chosen; 51 of 51",
    ),
    "keep sorts": (kept(lambda keep, ids: (ids.copy_(ids.flip(0)), keep)[1]), "keep: the batch is read only"),
    "fresh": (with_(in_batch=lambda self, at: None), "in_batch says True or False"),
    "width": (
        type("Broken", (kept(lambda keep, ids: keep),), {"candidate_factor": lambda self, at: 0}),
        "candidate_factor: more than nothing",
    ),
    "packs": (with_(packs=None), "packs is True or False"),
    "side": (with_(scoring_side_px="16"), "scoring_side_px is a side"),
    "series": (
        with_(series=lambda self, table: {"a": torch.ones(3)}),
        r'series gives one number a class; "a" has shape',
    ),
    "counts": (with_(counts=lambda self: {"a": "three"}), r"counts gives numbers; \['a'\]"),
    "no build": (lambda population: 1 / 0, "building a selector raised ZeroDivisionError"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_promise_is_named(name: str) -> None:
    build, message = BROKEN[name]
    with pytest.raises(Violation, match=message):
        check_selector(build)


@pytest.mark.parametrize("is_fresh", [False, True])
def test_a_selector_that_keeps_all_promises_passes(is_fresh: bool) -> None:
    check_selector(lambda population: Good(population, is_fresh))


def test_the_conformance_kit_catches_a_selector_that_breaks_it() -> None:
    class Greedy:
        """A selector that chooses samples of other splits."""

        def __init__(self, inner: Selector) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def select(self, table: Table, pool_ids: torch.Tensor, at: At) -> Any:
            return self.inner.select(table, torch.arange(60), at)

    with pytest.raises(AssertionError, match="pool only"):
        check_selector(lambda population: Greedy(build_on({"method": "full"}, population)))  # type: ignore[arg-type,return-value]
