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
from fewer.core.table import Table
from fewer.core.types import At, Chosen, Expects, Keep, Population, State
from fewer.select.base import Selection, chosen
from fewer.testing import Violation, check_selector


class Good(Selection):
    """Half of the samples, those of the highest losses; in the batch half of it, where asked. Has some state."""

    def __init__(self, population: Population, is_fresh: bool = False) -> None:
        self.population, self.is_fresh, self.calls = population, is_fresh, 0

    def order(self, table: Table, pool_ids: Tensor, at: At) -> Chosen:
        self.calls += 1
        if self.is_fresh:
            return chosen(pool_ids)
        return self.pick(table, pool_ids.sort().values, at)

    def pick(self, table: Table, pool_ids: Tensor, at: At) -> Chosen:
        loss_M = table.loss_N[pool_ids].nan_to_num(float("inf"))
        hardest = loss_M.argsort(descending=True, stable=True)
        return chosen(pool_ids[hardest[: self.count(pool_ids, at)]])

    def count(self, pool_ids: Tensor, at: At) -> int:
        return max(1, round(self.share(at) * len(pool_ids)))

    def share(self, at: At) -> float:
        return 0.5 if at.share is None else at.share

    def fresh(self, at: At) -> bool:
        return self.is_fresh

    def keep(self, ids_G: Tensor, loss_G: Tensor, score_G: Tensor, right_G: Tensor, at: At) -> Keep:
        kept = ids_G[ids_G.argsort()][: max(1, round(self.share(at) * len(ids_G)))]
        return Keep(torch.isin(ids_G, kept), torch.ones(len(ids_G), dtype=torch.float64))

    def expects(self, at: At) -> Expects:
        return Expects(self.share(at), self.share(at), float(self.is_fresh))

    def state_dict(self) -> State:
        return {"calls": self.calls}

    def load_state_dict(self, state: State) -> None:
        self.calls = state["calls"]


def with_(**methods: Callable[..., Any]) -> type[Good]:
    return type("Broken", (Good,), methods)


def listed(change: Callable[[Chosen], Chosen]) -> type[Good]:
    """One whose choice is changed before it is given."""
    return with_(pick=lambda self, table, ids, at: change(Good.pick(self, table, ids, at)))


def kept(change: Callable[[Keep, Tensor], Keep]) -> type[Good]:
    """One that chooses in the batch, and whose answer is changed."""

    class Broken(Good):
        def __init__(self, population: Population) -> None:
            super().__init__(population, is_fresh=True)

        def keep(self, ids_G: Tensor, loss_G: Tensor, score_G: Tensor, right_G: Tensor, at: At) -> Keep:
            return change(super().keep(ids_G, loss_G, score_G, right_G, at), ids_G)

    return Broken


def of_the_stream(self: Good, table: Table, ids: Tensor, at: At) -> Chosen:
    return chosen(ids[torch.rand(len(ids)).argsort()[: self.count(ids, at)]])


def of_a_seeded_stream(self: Good, table: Table, ids: Tensor, at: At) -> Chosen:
    torch.manual_seed(at.epoch)
    return of_the_stream(self, table, ids, at)


def of_numpys_seeded_stream(self: Good, table: Table, ids: Tensor, at: At) -> Chosen:
    numpy.random.seed(at.epoch)
    return Good.pick(self, table, ids, at)


def of_the_calls(self: Good, table: Table, ids: Tensor, at: At) -> Chosen:
    return chosen(ids[rng.shuffled(ids, 0, self.calls)[: self.count(ids, at)]])


def with_a_table_of_its_own(self: Good, table: Table, ids: Tensor, at: At) -> Chosen:
    table.column("trained", "loss")[ids] = 0.0
    return Good.pick(self, table, ids, at)


def in_place(self: Good, table: Table, pool_ids: Tensor, at: At) -> Chosen:
    pool_ids.copy_(pool_ids.flip(0))
    return Good.pick(self, table, pool_ids.sort().values, at)


class Lucky(Good):
    """Chooses by a number that it drew when it was built."""

    def __init__(self, population: Population) -> None:
        super().__init__(population)
        self.calls = random.SystemRandom().randrange(10**9)

    pick = of_the_calls


BROKEN: dict[str, tuple[Callable[[Population], Any], str]] = {
    "int32": (listed(lambda c: Chosen(c.ids_M.int(), c.weight_M)), "order: ids are int64; they are torch.int32"),
    "list": (listed(lambda c: Chosen(c.ids_M.tolist(), c.weight_M)), "order: ids are int64; they are list"),  # type: ignore[arg-type]
    "column": (listed(lambda c: Chosen(c.ids_M[:, None], c.weight_M)), "order: ids have one dimension"),
    "positions": (listed(lambda c: Chosen(torch.arange(len(c.ids_M)), c.weight_M)), "order: samples of the pool only"),
    "float32": (listed(lambda c: Chosen(c.ids_M, c.weight_M.float())), "order: one weight a sample, float64"),
    "one weight": (listed(lambda c: Chosen(c.ids_M, c.weight_M[:1])), "order: one weight a sample"),
    "negative": (listed(lambda c: Chosen(c.ids_M, -c.weight_M)), "order: weights are finite and not negative"),
    "infinite": (listed(lambda c: Chosen(c.ids_M, c.weight_M / 0)), "order: weights are finite and not negative"),
    "lr_scale": (listed(lambda c: Chosen(c.ids_M, c.weight_M, 0.0)), "the learning rate is a positive number"),
    "nothing": (listed(lambda c: chosen(c.ids_M[:0])), "order: something is chosen"),
    "stream": (with_(pick=of_the_stream), "order: equal state gives an equal choice"),
    "seeded": (with_(pick=of_a_seeded_stream), "random streams of torch, numpy and Python are left alone"),
    "seeded numpy": (with_(pick=of_numpys_seeded_stream), "random streams of torch, numpy and Python are left alone"),
    "suspects": (with_(suspected=lambda self: torch.tensor([0])), "suspected: samples of the pool only"),
    "note": (with_(note=lambda self: None), "note is text"),
    "no note": (with_(note=property(lambda self: "")), "suspected or note raised TypeError"),
    "lucky": (Lucky, "a run that is repeated gives the same choices"),
    "listing": (
        with_(order=lambda self, table, ids, at: chosen(ids[: self.count(ids, at)])),
        "order: the choice does not depend on how the pool is listed",
    ),
    "unsaved": (
        with_(pick=of_the_calls, state_dict=lambda self: {}, load_state_dict=lambda self, state: None),
        "equal",
    ),
    "not loaded": (with_(load_state_dict=lambda self, state: None), "saved and loaded goes on as the other does"),
    "set": (with_(state_dict=lambda self: {"calls": self.calls, "seen": {1}}), "tensors and JSON values"),
    "tuple": (with_(state_dict=lambda self: {"calls": (self.calls,)}), "tensors and JSON values"),
    "table": (with_(pick=with_a_table_of_its_own), "the table is read only"),
    "pool": (with_(order=in_place), "order: the pool is read only"),
    "upside down": (with_(expects=lambda self, at: Expects(0.6, 0.4)), "expects gives shares, the lower one first"),
    "cheap": (with_(expects=lambda self, at: Expects(0.1, 0.2)), "expects bounds what is chosen; 26 of 51"),
    "share ignored": (
        with_(count=lambda self, ids, at: round(0.5 * len(ids)) - 5 * (at.epoch > 2 and at.share is not None)),
        "half the cost, epoch 3: expects bounds what is chosen; 21 of 51",
    ),
    "falling": (with_(expects=lambda self, at: Expects(0.0, 1 - (at.share or 0))), "does not get cheaper as At.share"),
    "fewer": (
        with_(
            count=lambda self, ids, at: round((1 - self.share(at)) * 10) + 1, expects=lambda self, at: Expects(0.0, 1.0)
        ),
        r"a larger At.share does not choose fewer samples; shares of \[0.0, 0.25, 0.5, 0.75, 1.0\] chose \[11, ",
    ),
    "never seen": (
        with_(pick=lambda self, table, ids, at: chosen(ids[: round(float(table.loss_N[ids].mean()))])),
        "four classes, epoch 0: order raised ValueError",
    ),
    "two classes": (
        with_(
            pick=lambda self, table, ids, at: chosen(ids[self.population.label_N[ids].bincount()[1] :]),
            expects=lambda self, at: Expects(0.0, 1.0),
        ),
        "one class, epoch 0: order raised IndexError",
    ),
    "three samples": (
        with_(
            pick=lambda self, table, ids, at: chosen(ids[ids.topk(3).indices]),
            expects=lambda self, at: Expects(0.0, 1.0),
        ),
        "two samples, epoch 0: order raised RuntimeError",
    ),
    "wants others": (with_(wants=lambda self, table, at: torch.tensor([0])), "wants: samples of the pool only"),
    "wants twice": (
        with_(wants=lambda self, table, at: table.seen_N.nonzero().flatten().repeat(2)),
        "wants names each sample once",
    ),
    "wants a few": (
        with_(wants=lambda self, table, at: table.seen_N.nonzero().flatten()[torch.rand(1).item() > 0.5 :]),
        "wants: equal state gives an equal answer",
    ),
    "scores": (kept(lambda keep, ids: Keep(keep.mask_G.double(), keep.weight_G)), "keep: the mask is boolean"),
    "part": (kept(lambda keep, ids: Keep(keep.mask_G[:-1], keep.weight_G)), "says something of every sample"),
    "keep weights": (kept(lambda keep, ids: Keep(keep.mask_G, -keep.weight_G)), "keep: weights are finite and not neg"),
    "keep first": (
        kept(lambda keep, ids: Keep(torch.arange(len(ids)) < len(ids) // 2, keep.weight_G)),
        "keep: the answer does not depend on how the batch is listed",
    ),
    "keep lucky": (
        kept(lambda keep, ids: Keep(torch.rand(len(ids)) < 0.5, keep.weight_G)),
        "keep: equal state gives an equal answer",
    ),
    "keep all": (
        kept(lambda keep, ids: Keep(torch.ones_like(keep.mask_G), keep.weight_G)),
        "expects bounds what is chosen; 51 of 51",
    ),
    "keep sorts": (kept(lambda keep, ids: (ids.copy_(ids.flip(0)), keep)[1]), "keep: the batch is read only"),
    "fresh": (with_(fresh=lambda self, at: None), "fresh says True or False"),
    "width": (
        type("Broken", (kept(lambda keep, ids: keep),), {"candidates": lambda self, at: 0}),
        "candidates: more than nothing",
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
