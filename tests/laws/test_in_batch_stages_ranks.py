"""The seam: in-batch selection, packed, times two stages of different side, times accumulation, times two ranks,
times a kill in the middle of an epoch. And resuming at the border batches of every selector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from fewer.core.observation import Observed
from fewer.core.table import Table
from fewer.core.types import At, Expectation, KeepMask, Selection
from fewer.select.base import BaseSelector, unweighted
from fewer.session.build import Session
from fewer.testing import laws
from fewer.testing.harness import interrupted, one_thread, session_of, trained, weights
from fewer.testing.ranks import on_ranks
from fewer.training.loop import Row, train

DATA = {"source": "digits", "test": "93%", "val": "none"}
FRESH = {"method": "dbpd", "score": "fresh", "threshold": 0.11, "revision": "1ep"}
STAGES = [{"epochs": 2, "side_px": 20, "batch_size": 24}, {"epochs": 2, "side_px": 16, "batch_size": 40}]
SEAM = {
    "data": DATA,
    "augment": {"crop_padding_px": 2, "flip": "random", "mixup_alpha": 0.4, "cutmix_alpha": 1.0, "mix_until": "80%"},
    "train": {"accumulate": 2, "lr": 0.05, "ema": "0.5ep", "clip_norm": 1.0},
    "select": FRESH,
    "stages": STAGES,
}
KILLS = [4, 14]  # candidate batches of the first and of the second stage
BATCHES_IN_EPOCH = [6, 6, 4, 4]  # 126 images in batches of at most 24, then 40
SELECTORS: dict[str, dict[str, Any]] = {
    "everything": {"method": "full"},
    "random": {"method": "random", "share": 0.5, "revision": "1ep"},
    "dbpd stale": {"method": "dbpd", "threshold": 0.12, "refresh_every": 2, "revision": "1ep"},
    "dbpd fresh": FRESH,
    "infobatch": {"method": "infobatch", "revision": "1ep"},  # weights
    "kakurenbo": {"method": "kakurenbo", "hidden": 0.6, "confidence": 0.1, "revision": "1ep"},  # longer steps
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def _digest(comm: Any, content: dict[str, Any], kills: list[int]) -> str:
    session = interrupted(content, kills, comm) if kills else trained(content, comm)
    return session.run.digest()


def test_two_ranks_of_a_batchnorm_net_resume_bit_for_bit_in_the_middle_of_an_epoch() -> None:
    content = {**SEAM, "model": {"name": "cnn", "width": 0.1, "whiten": True, "whiten_bias_epochs": 1}}
    unstopped = on_ranks(2, _digest, content, [])
    assert unstopped[0] == unstopped[1], "ranks differ"
    # Kills in the middle of the first stage with samples waiting in the packer, and of the second.
    rank_0, rank_1 = _on_ranks_through_one_folder(content, KILLS)
    assert rank_0 == rank_1 == unstopped[0]


def test_micro_batches_that_no_rank_fills_change_nothing() -> None:
    """Twelve images in batches of at most eight are six and six, three a rank, which are never cut into two and one."""
    content = {"data": {**DATA, "subset": 12}, "model": {"name": "cnn", "width": 0.1}}
    train = {"batch_size": 8, "epochs": 1, "lr": 0.01}
    one, two = (on_ranks(2, _weights, {**content, "train": {**train, "accumulate": cut}}) for cut in (1, 2))
    assert one == two
    assert all(is_finite for _, is_finite in one)


def _weights(comm: Any, content: dict[str, Any]) -> tuple[str, bool]:
    session = trained(content, comm)
    numbers = session.run.workers[0].model.state_dict().values()
    return weights(session), all(bool(torch.isfinite(value).all()) for value in numbers)


def _on_ranks_through_one_folder(content: dict[str, Any], kills: list[int]) -> list[str]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return on_ranks(2, _digest_in, content, kills, folder)


def _digest_in(comm: Any, content: dict[str, Any], kills: list[int], folder: str) -> str:
    return interrupted(content, kills, comm, folder).run.digest()


def test_two_ranks_equal_one_process_with_other_batch_sizes_in_each_stage() -> None:
    laws.ranks_agree({**SEAM, "model": {"name": "lenet5", "width": 0.1}}, tolerance=1e-9)


@pytest.mark.parametrize("name", SELECTORS)
def test_resuming_is_exact_at_every_border(name: str) -> None:
    """Killed behind the first batch, in the middle, at the revision's border, and before the last batch."""
    content = {**SEAM, "model": {"name": "lenet5", "width": 0.1}, "select": SELECTORS[name]}
    rows: list[Any] = []
    unstopped = trained(content, look=lambda session, row: rows.append(row))
    ends = [number + 1 for number, row in enumerate(rows) if row.epoch_end]
    border = ends[2]  # the fourth epoch is the revision
    kills = sorted({1, len(rows) // 2, border - 1, border, border + 1, len(rows) - 1, len(rows)})
    assert interrupted(content, kills).run.digest() == unstopped.run.digest()


class Twice(BaseSelector):
    """Lists every sample twice and keeps all, before the epoch or in the batch; candidates of `width` batches."""

    def __init__(self, in_batch: bool, width: float = 1.0, keep_half: bool = False, repeats: int = 2) -> None:
        self.chooses_in_batch, self.width, self.keep_half, self.repeats = in_batch, width, keep_half, repeats

    def select(self, table: Table, pool_ids: torch.Tensor, at: At) -> Selection:
        return unweighted(pool_ids.repeat(self.repeats))

    def in_batch(self, at: At) -> bool:
        return self.chooses_in_batch

    def candidate_factor(self, at: At) -> float:
        return self.width

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        keep = super().keep(seen_G, at)
        mask = torch.arange(len(seen_G)) % 2 == 0 if self.keep_half else keep.mask_G
        return KeepMask(mask, keep.weight_G)

    def expected(self, at: At) -> Expectation:
        return Expectation(1.0, 2.0)


REPEATED = {**SEAM, "model": {"name": "lenet5", "width": 0.1}}


def _trained_with(selector: Twice) -> Any:
    session = session_of(REPEATED)
    session.run.selection.selector = selector
    rows = list(train(session.task, session.train_data, session.run))
    return session, rows


@pytest.mark.parametrize(("batches", "steps"), [("pack", [3, 3]), ("shrink", [6, 6])])
def test_shrinking_takes_as_many_steps_as_plain_training(batches: str, steps: list[int]) -> None:
    """Epochs of 126 images in six batches, of which half are chosen: half the steps, or half the batch."""
    found = [0] * 4

    def look(session: Session, row: Row) -> None:
        found[row.epoch] += row.steps

    session = trained({**REPEATED, "select": {"method": "random", "share": 0.5, "batches": batches}}, look=look)
    assert found[:2] == steps
    assert session.plan.predicted["optimizer_steps"] == (sum(found), sum(found))


@pytest.mark.parametrize(("packs", "steps"), [(True, 3), (False, 6)])
def test_shrinking_in_the_batch_takes_a_step_a_candidate_batch(packs: bool, steps: int) -> None:
    selector = Twice(True, keep_half=True, repeats=1)
    selector.packs = packs
    _, rows = _trained_with(selector)
    assert sum(row.steps for row in rows if row.epoch == 0) == steps


def test_repeated_samples_keep_their_own_views_in_the_packer() -> None:
    """Law 1 for repeats: keeping all in the batch trains on the same views as choosing all before the epoch."""
    assert weights(_trained_with(Twice(True))[0]) == weights(_trained_with(Twice(False))[0])


def test_wide_candidates_fill_batches_of_the_plans_size() -> None:
    """Twice as many candidates of which half are kept: steps of the batch size, as many as plain training takes."""
    _, rows = _trained_with(Twice(True, width=2.0, keep_half=True))
    first = [row for row in rows if row.epoch == 0]
    assert sum(row.kept for row in first) == sum(-(-row.candidates // 2) for row in first)
    assert sum(row.steps for row in first) == 6
    assert all(row.kept / row.steps <= 24 for row in first if row.steps)


def _scored_in_train_mode(comm: Any) -> list[str]:
    content = {
        **SEAM,
        "model": {"name": "cnn", "width": 0.1},
        "select": {**FRESH, "threshold": 0.11, "scoring": "train", "batches": "shrink"},
    }
    digests: list[str] = []
    trained(content, comm, look=lambda session, row: digests.append(session.run.digest()))
    return digests


def test_ranks_stay_equal_where_scoring_moves_running_statistics() -> None:
    """Behind every batch, also one of which nothing is kept."""
    one, other = on_ranks(2, _scored_in_train_mode)
    assert one == other


def test_the_seam_is_what_it_claims_to_be() -> None:
    """Samples do wait in the packer where it is killed, and both stages take part."""
    waiting, sides = [], set()

    def look(session: Any, row: Any) -> None:
        waiting.append(len(session.run.selection.packer.queue))
        sides.add(row.side_px)

    trained({**SEAM, "model": {"name": "cnn", "width": 0.1, "whiten": True, "whiten_bias_epochs": 1}}, look=look)
    assert waiting[KILLS[0] - 1]
    assert waiting[KILLS[1] - 1]
    assert sides == {20, 16}
    assert len(waiting) == sum(BATCHES_IN_EPOCH)
