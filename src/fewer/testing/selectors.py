"""What every selector must do, whatever its rule."""

from __future__ import annotations

from collections.abc import Callable

import torch

from fewer import rng
from fewer.parts import At, Chosen, Population, Selector
from fewer.run import state_digest
from fewer.select.table import Table

_SIZE, _CLASSES, _EPOCHS = 60, 4, 6


def check_selector(build_selector: Callable[[Population], Selector]) -> None:
    """Raises AssertionError where a selector breaks its contract.

    Checked over several epochs of made-up losses: wants and order name samples of the pool only, with finite positive
    weights; the same state gives the same answer, whatever the order in which the pool is listed; nothing passed in is
    changed; `keep` answers for every sample of its batch, whatever the order of the batch; expectations bound what is
    chosen; state survives saving, and a selector that was saved and loaded goes on as the other does.

    Args:
        build_selector: Builds a fresh selector for a population.
    """
    population = _population()
    pool = torch.arange(_SIZE)[population.label_N >= 0]
    selector, table = build_selector(population), Table(_SIZE)
    for epoch in range(_EPOCHS):
        at = At(epoch, _EPOCHS, epoch / _EPOCHS)
        twin = build_selector(population)
        twin.load_state_dict(selector.state_dict())
        _check_wants(selector, twin, table, pool, at)
        chosen = _check_order(selector, twin, table, pool, at)
        if selector.fresh(at):
            _check_keep(selector, twin, pool, at)
        _check_expectation(selector, chosen, pool, at)
        _check_series(selector, table)
        _observe(table, chosen.ids_M, epoch)


def _population() -> Population:
    label_N = torch.arange(_SIZE) % _CLASSES
    label_N[::7] = -1  # ids that belong to another split
    return Population(seed=3, label_N=label_N, classes=_CLASSES)


def _check_wants(selector: Selector, twin: Selector, table: Table, pool: torch.Tensor, at: At) -> None:
    before = state_digest(table.state_dict())
    wanted = selector.wants(table, at)
    assert wanted.dtype == torch.int64, "wants: ids are int64"
    assert torch.isin(wanted, pool).all(), "wants: only samples that have been seen, which are samples of the pool"
    assert len(wanted.unique()) == len(wanted), "wants: each sample once"
    assert torch.equal(wanted, twin.wants(table, at)), "wants: equal state gives an equal answer"
    assert before == state_digest(table.state_dict()), "wants: the table is read only"


def _check_order(selector: Selector, twin: Selector, table: Table, pool: torch.Tensor, at: At) -> Chosen:
    before = state_digest(table.state_dict())
    kept_pool = pool.clone()
    chosen = selector.order(table, pool, at)
    assert torch.equal(pool, kept_pool), "order: the pool is read only"
    assert before == state_digest(table.state_dict()), "order: the table is read only"
    assert chosen.ids_M.dtype == torch.int64, "order: ids are int64"
    assert torch.isin(chosen.ids_M, pool).all(), "order: samples of the pool only"
    assert chosen.weight_M.shape == chosen.ids_M.shape, "order: one weight a sample"
    assert torch.isfinite(chosen.weight_M).all(), "order: finite weights"
    assert (chosen.weight_M > 0).all(), "order: positive weights"
    assert chosen.lr_scale > 0, "order: a positive factor on the learning rate"
    other = twin.order(table, pool.flip(0), at)
    assert torch.equal(chosen.ids_M.sort().values, other.ids_M.sort().values), "order: however the pool is listed"
    return chosen


def _check_keep(selector: Selector, twin: Selector, pool: torch.Tensor, at: At) -> None:
    ids = pool[:16]
    score = rng.uniform(ids, 5, "score", at.epoch)
    loss, right = -torch.log(score.clamp(min=1e-6)), score > 0.5
    keep = selector.keep(ids, loss, score, right, at)
    assert keep.mask_G.shape == ids.shape, "keep: an answer for every sample"
    assert keep.mask_G.dtype == torch.bool, "keep: the mask is boolean"
    assert torch.isfinite(keep.weight_G).all(), "keep: finite weights"
    assert (keep.weight_G[keep.mask_G] > 0).all(), "keep: positive weights"
    again = twin.keep(ids.flip(0), loss.flip(0), score.flip(0), right.flip(0), at)
    assert torch.equal(keep.mask_G, again.mask_G.flip(0)), "keep: however the batch is listed"


def _check_expectation(selector: Selector, chosen: Chosen, pool: torch.Tensor, at: At) -> None:
    expects = selector.expects(at)
    assert 0 <= expects.kept_low <= expects.kept_high, "expects: low is not above high"
    share = len(chosen.ids_M) / len(pool)
    slack = 1 / len(pool)  # a share of a small set is rounded to whole samples
    assert share <= expects.kept_high + slack or selector.fresh(at), "expects: at most the highest share is chosen"
    assert share >= expects.kept_low - slack, "expects: at least the lowest share is chosen"


def _check_series(selector: Selector, table: Table) -> None:
    for name, values in selector.series(table).items():
        assert values.shape == (_CLASSES,), f"series: {name} has one number a class"


def _observe(table: Table, ids: torch.Tensor, epoch: int) -> None:
    score = rng.uniform(ids, 9, "observed", epoch)
    table.observe("trained", ids, -torch.log(score.clamp(min=1e-6)), score, score > 0.5, epoch)
