"""Statistics of a run's selection: numbers of every class, whether scoring pays, and which labels look wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fewer.runs.folder import SUSPECTS, RunFolder
from fewer.runs.record import inert, write_table
from fewer.select.method_params import ScoredParams
from fewer.session.build import Session

_NAMED = 3  # classes that a warning names
_PROBE = 0.1  # share of the images: looking at so few to decide what to do is not complained of


def selection_stats(session: Session, epoch: int) -> dict[str, Any]:
    """What selection did in an epoch, class by class, and the numbers that the selector has to tell; often nothing.

    Kept shares and difficulties (1 - mean score) are recorded for every method; methods add others themselves.
    """
    run, label_N = session.run, session.splits.train.label_N
    label_M, classes = label_N[run.selection.pool_ids], len(session.splits.classes)
    kept_M = run.selection.table.column("trained", "epoch")[run.selection.pool_ids] == epoch
    recorded: dict[str, Any] = {}
    if counts := run.selection.selector.counts():
        recorded["counts"] = counts
    series = {name: values.tolist() for name, values in run.selection.selector.series(run.selection.table).items()}
    if not kept_M.all() or series:
        present_C = torch.bincount(label_M, minlength=classes)
        images_C = present_C.clamp(min=1)
        score_M = run.selection.table.score_N[run.selection.pool_ids].nan_to_num(0.0).double()
        score_C = torch.zeros(classes, dtype=torch.float64).index_add_(0, label_M, score_M) / images_C
        kept_C = torch.bincount(label_M[kept_M], minlength=classes) / images_C
        own = {"kept_share_per_class": kept_C.tolist(), "difficulty_per_class": (1 - score_C).tolist()}
        recorded["series"] = {**own, **series}
        if lost := int(((kept_C == 0) & (present_C > 0)).sum()):
            recorded["counts"] = {**counts, "classes_left_out": lost}
    return recorded


def complaints(session: Session, line: dict[str, Any], kept_share_E: Sequence[float]) -> dict[str, str]:
    """Warnings to the user after an epoch, by kind.

    Args:
        session: The run.
        line: The epoch's row, with the numbers of selection.
        kept_share_E: The share of the images that each of the epochs so far was trained on.
    """
    found = {"scoring": loss_of_scoring(session, kept_share_E), "classes": lost_classes(session, line)}
    return {kind: text for kind, text in found.items() if text}


def lost_classes(session: Session, line: dict[str, Any]) -> str:
    """Says that an epoch held no image of some class, or nothing."""
    if not line.get("counts", {}).get("classes_left_out"):
        return ""
    kept_C, classes = line["series"]["kept_share_per_class"], session.splits.classes
    images_C = session.splits.train.class_images()
    lost = [name for name, kept, images in zip(classes, kept_C, images_C, strict=True) if kept == 0 and images]
    names = ", ".join(f'"{name}"' for name in lost[:_NAMED]) + (", ..." if len(lost) > _NAMED else "")
    text = f"epoch {line['epoch'] + 1} trained on no image of {len(lost)} of the {len(classes)} classes: {names}"
    return f"{text}; keep more, or use a method with select.guards.class_floor"


def loss_of_scoring(session: Session, kept_share_E: Sequence[float]) -> str:
    """Says that scoring, before an epoch or in its batches, has cost more than selection saved by it; else nothing.

    A forward costs a third of a step, or less for smaller images: with so little left out, plain training is cheaper.
    What is looked at for several epochs must pay in all of them together.

    Args:
        session: The run.
        kept_share_E: The share of the images that each of the epochs so far was trained on.
    """
    plan, selector = session.plan, session.run.selection.selector
    chosen = plan.recipe.select
    if plan.own_selector or not isinstance(chosen, ScoredParams) or not chosen.guards.break_even:
        return ""
    epoch = len(kept_share_E) - 1
    looked = max((e for e in range(epoch + 1) if selector.expected(plan.at(e)).scored), default=None)
    if looked is None or (epoch + 1 < plan.epochs and not selector.expected(plan.at(epoch + 1)).scored):
        return ""  # nothing was looked at, or it serves the next epoch, too
    scored_M = session.run.selection.table.column("scored", "epoch")[session.run.selection.pool_ids] == looked
    scored_share = float(scored_M.double().mean())
    flops, used = plan.sample_flops(looked), epoch + 1 - looked
    kept_share = sum(kept_share_E[looked:]) / used
    limit = 1 - scored_share * plan.scoring_flops(looked) / (flops.forward + flops.backward) / used
    if kept_share <= limit or scored_share <= _PROBE:
        return ""
    return (
        f"this scoring costs more than it saves: kept share {kept_share:.2f} > {limit:.2f} in epoch {looked + 1}"
        f"{f' to {epoch + 1}' if used > 1 else ''}; keep less, or look for nothing: "
        'select.score = "stale", where the method has it, costs nothing'
    )


def list_suspects(session: Session, folder: RunFolder) -> int:
    """Writes `suspects.csv`, the highest loss first, if there are any; how many labels it names."""
    run, train = session.run, session.splits.train
    ids = run.selection.selector.suspected()
    if len(ids) and folder.writes:
        loss_M = run.selection.table.loss_N[ids].nan_to_num(0.0)
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
