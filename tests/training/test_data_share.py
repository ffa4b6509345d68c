"""A stage that shows a share of the images: what is trained on, booked and predicted, also after a resume and for K."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fewer.testing.harness import interrupted, trained

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "90%", "val": "none"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"batch_size": 16, "lr": 0.05, "precision": "fp64"},
    "stages": [
        {"epochs": 3, "side_px": 16, "data_share": 0.3},
        {"epochs": 2, "side_px": 20, "data_share": 0.75, "batch_size": 24},
    ],
}


def test_a_share_is_trained_on_booked_and_predicted() -> None:
    run = (session := trained(CONTENT)).run
    ledger, predicted = run.ledger, session.plan.predicted
    images = len(run.selection.pool_ids)
    assert ledger.total("samples_backpropagated") == pytest.approx((3 * 0.3 + 2 * 0.75) * images, abs=5)
    for key in ("samples_backpropagated", "samples_loaded", "optimizer_steps", "flops"):
        assert predicted[key] == (ledger.total(key),) * 2
    assert interrupted(CONTENT, [2, 7]).run.digest() == run.digest()
    several = trained({**CONTENT, "sync": {"workers": 2}}).run
    ours, theirs = (torch.cat([p.flatten() for p in r.workers[0].model.parameters()]) for r in (run, several))
    assert torch.allclose(ours, theirs, atol=1e-9)
    assert torch.equal(run.selection.table.visits_N, several.selection.table.visits_N)


@pytest.mark.parametrize("select", [{"method": "dbpd", "threshold": 0.9}, {"method": "dbpd", "score": "fresh"}])
def test_a_method_chooses_and_scores_among_the_share(select: dict[str, Any]) -> None:
    session = trained({**CONTENT, "select": {**select, "refresh_every": 1} if "score" not in select else select})
    table, selection = session.run.selection.table, session.run.selection
    last = session.plan.epochs - 1
    looked_at = (table.column("scored", "epoch") == last) | (table.column("trained", "epoch") == last)
    shown = torch.zeros_like(looked_at)
    shown[selection.shown(last)] = True
    assert looked_at.any()
    assert not (looked_at & ~shown).any()
