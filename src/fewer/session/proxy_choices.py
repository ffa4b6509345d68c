"""The choices of a proxy (`select.method = "proxy"`), made before the first epoch of a run or taken from the cache.

What they cost is part of the run's costs, whoever has computed them: the ledger books the proxy's whole run, and says
beside it how much of that came from the cache (docs/adr/0078-shared-proxies.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fewer.core.clock import Cursor
from fewer.core.errors import DivergedError
from fewer.core.ledger import EXACT, LOCAL
from fewer.select.wrappers.within_groups import WithinGroups
from fewer.session import proxy_cache
from fewer.session.build import Session, open_run
from fewer.session.epoch_metrics import costs
from fewer.session.proxy_cache import Kept
from fewer.session.proxy_plan import filter_of, params_of, proxy_plan
from fewer.session.selector import population_of, selector_of
from fewer.training.loop import train

if TYPE_CHECKING:
    from fewer.core.protocols import Selector
    from fewer.plan.plan import Plan

Note = Callable[[str], None]

_BOOKED = tuple(name for name in EXACT if name != "skipped_steps")  # batches without a step are the method's own


def choose_by_proxy(
    session: Session, note: Note = lambda text: None, record: Callable[[dict[str, Any]], None] = lambda row: None
) -> bool:
    """Gives the selector of a run that stands at its beginning the choices of its proxy, where its method needs them.

    `fit` calls this; a loop of one's own over `fewer.train` does so before its first batch. Every process must.

    Args:
        session: As for `fewer.session.reference_losses.compute_reference_losses`; so is what it returns.
        note: Likewise.
        record: Likewise.

    Raises:
        DivergedError: The loss of the proxy is not finite.
    """
    plan, run = session.plan, session.run
    if plan.facts.preparation is None or not plan.recipe.select.needs_proxy or run.cursor != Cursor():
        return True
    with run.ledger.phase("select"):
        kept, cached = _provided(session, note)
        if kept is None:
            return False
        run.ledger.book(0, **{name: kept.counts[name] for name in _BOOKED})
        if cached:
            run.ledger.shared_flops += kept.counts["flops"]
        else:
            run.ledger.book(0, **{name: kept.counts[name] for name in LOCAL})
        run.selection.selector = selector_of(plan.recipe, session.splits, choices=kept.choices)
    flops = kept.counts["flops"]
    took = f"{flops / plan.plain_epoch_flops:.2f} FEE, {kept.seconds:.0f} s"
    note(f"the choices of a proxy: {took}" + (", computed by an earlier run: from the cache" if cached else ""))
    found = {"cached": cached, "share": kept.share, "proxy_seconds": kept.seconds, "flops": flops}
    record({"kind": "proxy", **run.cursor.state_dict(), **found, **costs(run.ledger)})
    return True


def _provided(session: Session, note: Note) -> tuple[Kept | None, bool]:
    """The choices, and whether they came from the cache; none where a stop was requested."""
    plan, comm = session.plan, session.run.comm
    share = _share(session)
    short = proxy_plan(plan.settled_recipe, plan.facts)
    keeps, key = plan.recipe.data.cache == "auto", proxy_cache.key_of(session, short, share)
    if keeps and (kept := proxy_cache.read(key, comm, short.epochs, len(session.splits.train.source))):
        return kept, True
    kept = _trained(session, short, share, note)
    if kept and keeps and comm.rank == 0:
        proxy_cache.write(key, kept)
    return kept, False


def _share(session: Session) -> float:
    """The share that the run trains on: its key, or what its cost pays for."""
    plan, params = session.plan, params_of(session.plan.recipe)
    level = plan.budget.first_level(session.run.selection.selector.expected)
    return params.share if level is None else min(1.0, max(level, 1e-3))


def _trained(session: Session, plan: Plan, share: float, note: Note) -> Kept | None:
    """What a proxy chooses on its way through the run."""
    began, splits, run = time.monotonic(), session.splits, session.run
    recipe, size = session.plan.recipe, len(splits.train.source)
    chooser = filter_of(recipe, size, share)
    population = population_of(recipe, splits)
    selector: Selector = WithinGroups(chooser, population) if params_of(recipe).ranks_within(population) else chooser
    machines = run.comm.machines
    proxy = open_run(plan, splits, session.train_data, run.comm, selector, began)
    run.comm.machines = machines  # a proxy has no workers that are simulated
    losses: list[float] = []
    try:
        for row in train(session.task, session.train_data, proxy):
            if row.stop:
                return None
            proxy.stop_requested = run.stop_requested
            losses += [row.loss] if row.loss is not None else []
            if row.epoch_end:
                note(f"proxy, epoch {row.epoch + 1}/{plan.epochs}: loss {losses[-1]:.4f} in the last batch it learnt")
    except DivergedError as error:
        raise DivergedError(f"the proxy, which chooses the images: {error}; give select.proxy.train.lr") from None
    counts = {name: proxy.ledger.total(name) for name in EXACT + LOCAL}
    return Kept(chooser.choices, share, counts, time.monotonic() - began)
