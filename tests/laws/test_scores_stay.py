"""A score stays with its image, whatever the order, the loader and the ranks; and choices within groups obey the laws.

The net does not learn here, and no view is drawn: then each image has one loss, which can be computed by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewer.core.types import At, Request
from fewer.session.build import Session
from fewer.testing import laws
from fewer.testing.harness import Content, one_thread, session_of, trained
from fewer.testing.ranks import on_ranks

DIGITS: Content = {
    "data": {"source": "digits", "val": "none", "test": "95%"},
    "model": {"name": "lenet5", "width": 0.2},
    "train": {
        "epochs": 3, "batch_size": 24, "lr": 1e-30, "weight_decay": 0.0, "precision": "fp64", "seed": 0, "side_px": 20,
    },
}  # fmt: skip
REFRESHED = {"method": "dbpd", "threshold": 0.1, "refresh_every": 1, "guards": "off"}
LOADERS: list[dict[str, Any]] = [
    {},
    {"in_memory": "no", "processes": 0},
    {"in_memory": "no", "processes": 2},
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def own_losses(content: Content) -> dict[int, float]:
    """The loss of each training image, alone in its batch."""
    session = session_of(content)
    stage, model, found = session.plan.stage(0), session.run.workers[0].model, {}
    for id in session.run.selection.pool_ids.tolist():
        (batch,) = session.train_data.batches([Request.training(stage, 0, torch.tensor([id]))])
        found[id] = float(session.task.outcome(model, batch, At(0, 3, 0.0)).loss_sum_B.detach())
    return found


def known_losses(session: Session) -> dict[str, dict[int, float]]:
    """What the table has of each image, by the kind of look."""
    table, found = session.run.selection.table, {}
    for kind in ("trained", "scored"):
        loss_N = table.column(kind, "loss")  # type: ignore[arg-type]
        ids = loss_N.isfinite().nonzero().flatten()
        found[kind] = dict(zip(ids.tolist(), loss_N[ids].tolist(), strict=True))
    return found


def _of_rank(comm: Any, content: Content) -> dict[str, dict[int, float]]:
    return known_losses(trained(content, comm))


def require_own(found: dict[str, dict[int, float]], own: dict[int, float], kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        assert found[kind], f"nothing was {kind}"
        for id, loss in found[kind].items():
            assert loss == pytest.approx(own[id], rel=1e-5), f"image {id} has the {kind} loss of another"


@pytest.mark.parametrize("loader", LOADERS, ids=str)
@pytest.mark.parametrize("ranks", [1, 3])
def test_a_score_stays_with_its_image(loader: dict[str, Any], ranks: int) -> None:
    """Training losses, and looks at what was left out, on any number of ranks and loader processes."""
    content = {**DIGITS, "data": {**DIGITS["data"], **loader}, "select": REFRESHED}
    own = own_losses(DIGITS)
    assert len({round(loss, 6) for loss in own.values()}) > 0.9 * len(own), "losses tell images apart"
    every = on_ranks(ranks, _of_rank, content) if ranks > 1 else [known_losses(trained(content))]
    for found in every:
        assert found == every[0]
        require_own(found, own, ("trained", "scored"))
        assert found["trained"].keys() == own.keys(), "the first epoch is on everything"


@given(st.integers(0, 2**40), st.integers(6, 60), st.integers(1, 3))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_score_stays_with_its_image_in_any_order(seed: int, batch_size: int, accumulate: int) -> None:
    """Batches of any size, cut into any parts, shuffled by any seed, with samples that are listed twice."""
    train = {**DIGITS["train"], "seed": seed, "batch_size": batch_size, "accumulate": accumulate, "epochs": 1}
    content = {**DIGITS, "train": train, "select": {"method": "repeat_factor", "threshold": 0.2}}
    require_own(known_losses(trained(content)), own_losses(content), ("trained",))


GROUPED: list[dict[str, Any]] = [
    {"method": "dbpd", "threshold": 0.12, "refresh_every": 2, "rank_within": "groups"},
    {"method": "dbpd", "score": "fresh", "cost": 0.8, "rank_within": "groups"},
    {"method": "orderdp", "cost": 0.6, "rank_within": "groups"},
    {"method": "rho", "share": 0.5, "proxy_epochs": "1ep", "rank_within": "groups"},
]
LEARNS: Content = {
    "data": {"source": "digits", "val": "none", "test": "93%"},
    "augment": {"crop_padding_px": 2},
    "model": {"name": "lenet5", "width": 0.2},
    "train": {"epochs": 3, "batch_size": 32, "lr": 0.05, "seed": 0, "side_px": 16},
}


@pytest.mark.parametrize("chosen", GROUPED, ids=lambda chosen: "-".join(map(str, chosen.values())))
def test_choices_within_groups_obey_the_laws(chosen: dict[str, Any]) -> None:
    content = {**LEARNS, "select": chosen}
    unstopped = trained(content)
    laws.looking_changes_nothing(content, unstopped)
    laws.resumed_is_never_stopped(content, unstopped)
    laws.ledger_is_what_happened(content)
    laws.ranks_agree(content)


def test_off_within_groups_is_plain() -> None:
    neutral = [
        {"method": "dbpd", "threshold": 1.0, "rank_within": "groups"},
        {"method": "dbpd", "threshold": 1.0, "score": "fresh", "rank_within": "groups"},
        {"method": "infobatch", "pruned": 0.0, "rank_within": "groups"},
    ]
    laws.off_is_plain(LEARNS, neutral)
