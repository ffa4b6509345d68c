"""What a run tells of its selection: numbers of every class, whether scoring pays, and which labels look wrong."""

from __future__ import annotations

from typing import Any

import torch

from fewer.build import Session
from fewer.folder import SUSPECTS, RunFolder
from fewer.record import inert, write_table


def selection_told(session: Session, epoch: int) -> dict[str, Any]:
    """What selection did in an epoch, class by class, and the numbers that the selector has to tell; often nothing.

    Kept shares and difficulties (1 - mean score) are told for every method, others by the methods themselves.
    """
    run, label_N = session.run, session.splits.train.label_N
    label_M, classes = label_N[run.pool_ids], len(session.splits.classes)
    kept_M = run.table.column("trained", "epoch")[run.pool_ids] == epoch
    told: dict[str, Any] = {}
    if counts := run.selector.counts():
        told["counts"] = counts
    series = {name: values.tolist() for name, values in run.selector.series(run.table).items()}
    if not kept_M.all() or series:
        images_C = torch.bincount(label_M, minlength=classes).clamp(min=1)
        score_M = run.table.score_N[run.pool_ids].nan_to_num(0.0).double()
        score_C = torch.zeros(classes, dtype=torch.float64).index_add_(0, label_M, score_M) / images_C
        kept_C = torch.bincount(label_M[kept_M], minlength=classes) / images_C
        own = {"kept_share_per_class": kept_C.tolist(), "difficulty_per_class": (1 - score_C).tolist()}
        told["series"] = {**own, **series}
    return told


def loss_of_scoring(session: Session, epoch: int, kept_share: float) -> str:
    """Says that scoring in the batch has cost more than selection saved in an epoch; else nothing.

    A forward costs a third of a step, or less for smaller images: with so little left out, plain training is cheaper.
    """
    plan = session.plan
    guards = None if plan.own_selector else getattr(plan.recipe.select, "guards", None)
    if not guards or not guards.break_even or not session.run.selector.fresh(plan.at(epoch)):
        return ""
    flops = plan.sample_flops(epoch)
    limit = 1 - plan.scoring_flops(epoch) / (flops.forward + flops.backward)
    if kept_share <= limit:
        return ""
    return (
        f"this scoring costs more than it saves: kept share {kept_share:.2f} > {limit:.2f} in epoch {epoch + 1}; "
        'select.score = "stale", where the method has it, costs nothing'
    )


def list_suspects(session: Session, folder: RunFolder) -> int:
    """Writes `suspects.csv`, the highest loss first, if there are any; how many labels it names."""
    run, train = session.run, session.splits.train
    ids = run.selector.suspected()
    if len(ids) and folder.writes:
        loss_M = run.table.loss_N[ids].nan_to_num(0.0)
        order = loss_M.argsort(descending=True, stable=True)
        lines = [
            {
                "name": inert(train.source.names[i], "./"),
                "label": inert(train.classes[int(train.label_N[i])], "'"),
                "loss": round(loss, 4),
            }
            for i, loss in zip(ids[order].tolist(), loss_M[order].tolist(), strict=True)
        ]
        write_table(folder.path / SUSPECTS, ("name", "label", "loss"), lines)
    return len(ids)
