"""The conformance kit of selectors: it plays some epochs with one, and names the promise that it breaks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch

from fewer.core import rng
from fewer.core.errors import RecipeError
from fewer.core.observation import Column
from fewer.core.population import Population
from fewer.core.protocols import Selector
from fewer.core.table import Table
from fewer.core.types import At, Expectation, KeepMask, Selection
from fewer.testing.promises import Promises, by_id, copy_of, is_plain, is_same
from fewer.testing.scenes import REPEATED, other_streams, scenes, stream_states
from fewer.testing.violation import require
from fewer.training.run import state_digest

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Kind

EPOCHS = 6  # of the run that a selector is built for
_BATCH = 16
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_Build = Callable[[Population], Selector]


def check_selector(build_selector: _Build) -> None:
    """Raises `Violation`, an AssertionError, at the first promise that a selector breaks.

    Plays a run of six epochs on sets of made-up losses: with four classes, with one, with groups that are no classes
    (as of images by their number of objects; a method may refuse these by a `RecipeError`), with two samples, with
    losses that are not numbers, and under a given share (`At.share`). Checked are

    - types: ids int64, masks boolean, weights finite and not negative, all on the CPU and equally long;
    - samples of the pool only, in `select` and `ids_to_score`; an answer for every sample in `keep`;
    - table, pool and batch are read only;
    - choices depend on seed, epoch, table and the selector's own state, and on nothing else: neither on how a pool or
      batch is listed, nor on random streams of torch, numpy or Python, which are left alone;
    - state is tensors and JSON values, and a selector that was saved and loaded goes on as the other does;
    - `expected` bounds what is chosen, and does not fall as the given share rises.

    Args:
        build_selector: Builds a fresh selector for a population and a run of six epochs.
    """
    for scene in scenes():
        first = _Play(scene, build=build_selector).run()
        if scene.name != REPEATED:
            continue
        with other_streams():
            again = _Play(scene, build=build_selector).run()
        require(
            first == again,
            f"{scene.name}: a run that is repeated gives the same choices",
            "draw from fewer.rng by seed, purpose, epoch and sample id; keep no state outside the selector",
        )


@dataclass
class _Play(Promises):
    """One run of a selector through a scene."""

    build: _Build
    record: list[Any] = field(default_factory=list)
    columns: Sequence[Column] = ()

    def run(self) -> list[Any]:
        """Plays all epochs, and looks after the random streams; returns all choices."""
        before = stream_states()
        record = self.play()
        if stream_states() != before:  # a first import of scikit-learn moves Python's, too: once
            with other_streams():
                before = stream_states()
                _Play(self.scene, build=self.build).play()
                self.require(
                    stream_states() == before,
                    "the random streams of torch, numpy and Python are left alone",
                    "draw from fewer.rng, which has no stream; do not seed or use theirs",
                )
        return record

    def play(self) -> list[Any]:
        """Plays all epochs; returns all choices."""
        scene = self.scene
        self.where = scene.name
        with self.trying("building a selector"):
            try:
                selector = self.build(scene.population)
            except RecipeError:
                if scene.population.groups_are_classes:
                    raise
                return self.record  # a method that needs classes may say so
        self.check_attributes(selector)
        self.columns = selector.columns
        table = Table(len(scene.population.group_N), self.columns)
        for epoch in range(EPOCHS):
            at = At(epoch, EPOCHS, epoch / EPOCHS, scene.share)
            self.where = f"{scene.name}, epoch {epoch}"
            self.epoch(selector, table, at)
        return self.record

    def epoch(self, selector: Selector, table: Table, at: At) -> None:
        expected = self.check_expected(selector, at)
        ids = self.check_ids_to_score(selector, table, at)
        self.check_scored(expected, len(ids))
        self.observe(table, "scored", ids, at)
        chosen = self.check_select(selector, table, at)
        trained = chosen.ids_M
        with self.trying("in_batch"):
            fresh = selector.in_batch(at)
        self.require(isinstance(fresh, bool), "in_batch says True or False", f"it gave {fresh!r}; use bool(...)")
        if fresh:
            trained = self.check_keeps(selector, table, trained, at)
        self.check_amount(expected, len(trained), at, fresh)
        self.check_told(selector, table)
        self.observe(table, "trained", trained, at)

    # --- Before the epoch -------------------------------------------------------------------------------------

    def check_ids_to_score(self, selector: Selector, table: Table, at: At) -> Tensor:
        twin = self.twin(selector)
        with self.untouched(table), self.trying("ids_to_score"):
            wanted = selector.ids_to_score(table, at)
            other = twin.ids_to_score(table, at)
        self.check_ids("ids_to_score", wanted)
        self.require(len(wanted.unique()) == len(wanted), "ids_to_score names each sample once", "use unique()")
        self.require(
            torch.equal(wanted.sort().values, other.sort().values),
            "ids_to_score: equal state gives an equal answer",
            "draw from fewer.rng by seed, epoch and sample id, and save all that the answer depends on in state_dict",
        )
        self.record.append(wanted.sort().values.tolist())
        return wanted

    def check_select(self, selector: Selector, table: Table, at: At) -> Selection:
        pool, twin, flipped = self.scene.pool, self.twin(selector), self.twin(selector)
        shares = [self.twin(selector) for _ in _SHARES] if self.scene.share else []
        given = pool.clone()
        with self.untouched(table), self.trying("select"):
            chosen = selector.select(table, given, at)
            other, listed = twin.select(table, pool.clone(), at), flipped.select(table, pool.flip(0), at)
        self.require(torch.equal(given, pool), "select: the pool is read only", "work on a copy: pool_ids.clone()")
        self.check_ids("select", chosen.ids_M)
        self.check_weights("select", chosen.weight_M, chosen.ids_M)
        self.require(
            isinstance(chosen.lr_scale, (int, float)) and 0 < chosen.lr_scale < float("inf"),
            "select: the factor on the learning rate is a positive number",
            f"it is {chosen.lr_scale!r}; 1.0 leaves the learning rate alone",
        )
        self.require(len(chosen.ids_M) > 0, "select: something is chosen", "keep at least one sample: max(1, count)")
        self.require(
            by_id(chosen) == by_id(other),
            "select: equal state gives an equal choice",
            "draw from fewer.rng by seed, epoch and sample id, and save all that the choice depends on in state_dict",
        )
        self.require(
            by_id(chosen) == by_id(listed),
            "select: the choice does not depend on how the pool is listed",
            "sort ids, or break ties at random: fewer.select.sampling.top_k",
        )
        self.require(
            state_digest(selector.state_dict()) == state_digest(twin.state_dict()),
            "state_dict: a selector that was saved and loaded goes on as the other does",
            "give in state_dict all that select changes, and take all of it over in load_state_dict, as a copy",
        )
        if shares:
            self.check_shares(shares, table, at)
        self.record.append((by_id(chosen), chosen.lr_scale))
        return chosen

    def check_shares(self, twins: list[Selector], table: Table, at: At) -> None:
        """A larger share gives no smaller epoch."""
        counts = []
        for twin, share in zip(twins, _SHARES, strict=True):
            moment = replace(at, share=share)
            with self.trying(f"select at a share of {share:g}"):
                counts.append(len(twin.select(table, self.scene.pool, moment).ids_M))
        self.require(
            counts == sorted(counts),
            "select: a larger At.share does not choose fewer samples",
            f"shares of {list(_SHARES)} chose {counts}; where a cost makes no sense, let select ignore At.share",
        )

    # --- In the batch -----------------------------------------------------------------------------------------

    def check_keeps(self, selector: Selector, table: Table, ids: Tensor, at: At) -> Tensor:
        """All batches of an epoch; returns what is kept of them."""
        with self.trying("candidate_factor"):
            width = selector.candidate_factor(at)
        self.require(
            width > 0, "candidate_factor: more than nothing is looked at", f"it gave {width!r}; 1.0 is one batch"
        )
        kept = []
        for batch in ids[rng.shuffled(ids, 8, "batches", at.epoch)].split(_BATCH):
            keep = self.check_keep(selector, batch, at)
            self.observe(table, "scored", batch, at)
            kept.append(batch[keep.mask_G])
        return torch.cat(kept)

    def check_keep(self, selector: Selector, ids: Tensor, at: At) -> KeepMask:
        batch = self.scene.observed(ids, "scored", at.epoch, self.columns)
        given, again, flipped = (copy_of(batch) for _ in range(3))
        twin, other_twin = self.twin(selector), self.twin(selector)
        with self.trying("keep"):
            keep = selector.keep(given, at)
            other = twin.keep(again, at)
            listed = other_twin.keep(flipped.take(torch.arange(len(ids) - 1, -1, -1)), at)
        self.require(is_same(given, batch), "keep: the batch is read only", "work on copies")
        self.require(
            keep.mask_G.shape == ids.shape and keep.mask_G.dtype == torch.bool,
            "keep: the mask is boolean, and says something of every sample",
            f"it is {keep.mask_G.dtype} of shape {tuple(keep.mask_G.shape)} for {len(ids)} samples",
        )
        self.check_weights("keep", keep.weight_G, ids)
        self.require(
            torch.equal(keep.mask_G, other.mask_G) and torch.equal(keep.weight_G, other.weight_G),
            "keep: equal state gives an equal answer",
            "draw from fewer.rng by seed, epoch and sample id, and save all that the answer depends on in state_dict",
        )
        self.require(
            torch.equal(keep.mask_G, listed.mask_G.flip(0)) and torch.allclose(keep.weight_G, listed.weight_G.flip(0)),
            "keep: the answer does not depend on how the batch is listed",
            "ranks list it otherwise than one process: rank by value, break ties at random, and sort before sums",
        )
        self.record.append(ids[keep.mask_G].sort().values.tolist())
        return keep

    # --- What is recorded -----------------------------------------------------------------------------------------

    def check_attributes(self, selector: Selector) -> None:
        for name in ("packs", "scores_in_train_mode"):
            found = getattr(selector, name, None)
            self.require(isinstance(found, bool), f"{name} is True or False", f"it is {found!r}; set it in the class")
        side_px = getattr(selector, "scoring_side_px", 0)
        fix = f"it is {side_px!r}; None is that of training"
        self.require(side_px is None or (isinstance(side_px, int) and side_px > 0), "scoring_side_px is a side", fix)

    def check_expected(self, selector: Selector, at: At) -> Expectation:
        """What is expected of an epoch, by whatever share may be given; returns it for the share that is."""
        with self.trying("expected"):
            expected = [selector.expected(replace(at, share=share)) for share in (at.share, *_SHARES)]
        costs = []
        for forecast in expected:
            self.require(
                0 <= forecast.kept_low <= forecast.kept_high and 0 <= forecast.scored < float("inf"),
                "expected gives shares, the lower one first",
                f"it gave {forecast}",
            )
            costs.append(forecast.kept_high + forecast.scored / 3)
        is_tiny = len(self.scene.pool) < _BATCH  # where a floor of two samples a class is all there is
        self.require(
            is_tiny or all(low <= high + 1e-9 for low, high in pairwise(costs[1:])),
            "expected: an epoch does not get cheaper as At.share rises",
            f"at {list(_SHARES)} it costs {[round(cost, 3) for cost in costs[1:]]}; a given cost is found by bisection",
        )
        return expected[0]

    def check_amount(self, forecast: Expectation, count: int, at: At, fresh: bool) -> None:
        """What is chosen lies within what is expected.

        A share of a small set is rounded to whole samples; in the batch it may be met on average only (three standard
        deviations of a draw at random). What is not a number may be kept for that, whatever is expected.
        """
        if self.scene.has_nan:
            return
        size = len(self.scene.pool)
        slack = (-(-size // _BATCH) / size + 1.5 / size**0.5 if fresh else 1 / size) + 1e-9
        expected_low, expected_high = forecast.kept_low - slack, forecast.kept_high + slack
        self.require(
            expected_low <= count / size <= expected_high,
            "expected bounds what is chosen",
            f"{count} of {size} samples are a share of {count / size:.3f}, expected were {forecast.kept_low:.3f} to "
            f"{forecast.kept_high:.3f} in an epoch with At.share = {at.share}; a plan's price would be wrong",
        )

    def check_scored(self, forecast: Expectation, count: int) -> None:
        """No more is scored before an epoch than what is expected, which a random draw meets on average only."""
        size = len(self.scene.pool)
        most = forecast.scored + 1 / size + 1.5 / size**0.5
        self.require(
            self.scene.has_nan or count / size <= most,
            "expected bounds what is scored",
            f"ids_to_score names {count} of {size} samples, expected was a share of {forecast.scored:.3f}; a plan's "
            "price would be wrong",
        )

    def check_told(self, selector: Selector, table: Table) -> None:
        with self.untouched(table), self.trying("series or counts"):
            series, counts = selector.series(table), selector.counts()
        groups, shown = self.scene.population.groups, self.scene.population.shown
        sizes = [groups, shown.classes] if shown else [groups]
        for name, values in series.items():
            fix = f'"{name}" has shape {tuple(values.shape)} for {groups} classes'
            self.require(list(values.shape) in [[size] for size in sizes], "series gives one number a class", fix)
        wrong = [name for name, value in counts.items() if not isinstance(value, (int, float))]
        self.require(not wrong, "counts gives numbers", f"{wrong} are none; use float(...)")
        with self.untouched(table), self.trying("suspected or note"):
            suspects, note = selector.suspected(), selector.note()
        self.check_ids("suspected", suspects)
        self.require(isinstance(note, str), "note is text", f"it gave {note!r}; often an empty one")

    # --- Helpers ----------------------------------------------------------------------------------------------

    def twin(self, selector: Selector) -> Selector:
        """Another one with the same state, of which nothing is shared."""
        with self.trying("state_dict"):
            state = selector.state_dict()
        self.require(
            is_plain(state),
            "state_dict holds tensors and JSON values, in dicts with text keys",
            "a checkpoint is read without pickle; turn sets and arrays into lists and tensors",
        )
        with self.trying("load_state_dict"):
            twin = self.build(self.scene.population)
            twin.load_state_dict(copy.deepcopy(state))
        return twin

    def observe(self, table: Table, kind: Kind, ids: Tensor, at: At) -> None:
        table.observe(kind, self.scene.observed(ids, kind, at.epoch, self.columns), at.epoch)
