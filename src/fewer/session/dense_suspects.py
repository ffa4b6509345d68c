"""Suspected boxes and masks as files for a person to judge: `suspects.csv`, and pictures for the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from fewer.core.drawing.boxes import mark_place
from fewer.core.suspicion import Suspects, Suspicion
from fewer.core.types import Request
from fewer.data.one_pass import evaluation_batch_size
from fewer.plan.shown import SUSPECTED_IMAGES
from fewer.runs.folder import SUSPECTS, RunFolder
from fewer.runs.record import inert, write_table
from fewer.session.annotated import targets_of
from fewer.session.previews import PAIR_BYTES, publish_jpeg
from fewer.session.whole_pictures import annotated_and_found, beside

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from fewer.session.build import Session

COLUMNS = ("name", "kind", "annotated", "predicted", "sure", "left", "top", "right", "bottom", "picture")
_PICTURES = 40  # at most
_AT_ONCE = 8  # pictures that a model is given


def names_suspects(session: Session) -> bool:
    """Whether the task can name annotations that look wrong, and the recipe wants it to."""
    return session.plan.recipe.out.suspects and isinstance(session.task, Suspects)


def list_dense_suspects(
    session: Session, folder: RunFolder, model: nn.Module, draw: Callable[[Sequence[Suspicion], nn.Module], list[str]]
) -> tuple[int, list[dict[str, Any]]]:
    """Writes `suspects.csv`, the surest first, if there are any; looks at those images with the highest losses.

    Args:
        session: The run.
        folder: Where to; only the process that writes the folder predicts anything.
        model: The model that is published, in eval mode.
        draw: Draws suspicions; returns the paths of their pictures within the folder, of none where none are wanted.

    Returns:
        How many there are, and the first entries for the report: `name`, `kind`, `label`, `predicted`, and `thumbnail`.
    """
    if not folder.writes:
        return 0, []
    found = _found(session, model)
    if not found:
        return 0, []
    train = session.splits.train
    paths = draw(found[:_PICTURES], model)
    listed = [*paths, *[""] * (len(found) - len(paths))]
    lines = [row_of(each, train.source.names, train.classes, path) for each, path in zip(found, listed, strict=True)]
    write_table(folder.path / SUSPECTS, COLUMNS, lines)
    shown = [
        {
            "name": train.source.names[each.id],
            "kind": each.kind,
            "label": _class(each.annotated, train.classes),
            "predicted": _said(each, train.classes),
            "thumbnail": path,
        }
        for each, path in zip(found, paths, strict=False)
    ]
    return len(found), shown


def row_of(each: Suspicion, names: Sequence[str], classes: Sequence[str], picture: str = "") -> dict[str, Any]:
    """A line of the table; names that a spreadsheet would compute are made inert."""
    left, top, right, bottom = (round(value, 1) for value in each.box)
    return {
        "name": inert(names[each.id], "./"),
        "kind": each.kind,
        "annotated": inert(_class(each.annotated, classes), "'"),
        "predicted": inert(_class(each.predicted, classes), "'"),
        "sure": round(each.sure, 4),
        "left": left,
        "top": top,
        "right": right,
        "bottom": bottom,
        "picture": picture,
    }


def ordered(found: Sequence[Suspicion]) -> list[Suspicion]:
    """Suspicions, the surest first; of equal ones in the order of the images."""
    return sorted(found, key=lambda each: (-each.sure, each.id, each.box))


def _said(each: Suspicion, classes: Sequence[str]) -> str:
    return "" if each.predicted is None else f"{classes[each.predicted]} {each.sure:.0%}"


def _class(number: int | None, classes: Sequence[str]) -> str:
    return "" if number is None else classes[number]


def _found(session: Session, model: nn.Module) -> list[Suspicion]:
    task, run, side_px = session.task, session.run, session.plan.evaluation_side_px
    assert isinstance(task, Suspects)
    ids_M = session.splits.train.ids_M
    if len(ids_M) > SUSPECTED_IMAGES:  # where a label is wrong, training has mostly ended with a high loss
        loss_M = run.selection.table.loss_N[ids_M].nan_to_num(0.0)
        ids_M = ids_M[loss_M.argsort(descending=True, stable=True)[:SUSPECTED_IMAGES]]
    requests = (
        Request.evaluation(side_px, run.cursor.epoch, ids) for ids in ids_M.split(evaluation_batch_size(side_px))
    )
    with run.ledger.phase("evaluate"):
        found = task.suspicions(model, session.train_data.batches(requests))
    run.ledger.book(run.plan.stages[-1].index, samples_evaluated=len(ids_M))
    return ordered(found)


def write_suspicions(session: Session, model: nn.Module, folder: Path, found: Sequence[Suspicion]) -> list[str]:
    """Publishes pictures of suspicions: the annotation on the left, what is found on the right, the place framed.

    Returns:
        The files' names in order.

    Raises:
        ResourceError: The folder cannot be written to.
    """
    data, side_px = session.train_data, session.plan.evaluation_side_px
    names: list[str] = []
    for first in range(0, len(found), _AT_ONCE):
        part = found[first : first + _AT_ONCE]
        ids_B = torch.tensor([each.id for each in part])
        batch = next(iter(data.batches([Request.evaluation(side_px, 0, ids_B)])))
        pictures = annotated_and_found(batch, data, session.task, model, side_px)
        for (annotated, seen), target, each in zip(pictures, targets_of(batch), part, strict=True):
            assert isinstance(target, dict)
            width, height = target["size"].tolist()
            for picture in (annotated, seen):
                mark_place(picture, each.box, (width, height))
            path = folder / f"{len(names) + 1:03d}.jpg"
            names.append(publish_jpeg(path, beside(annotated, seen), PAIR_BYTES).name)
    return names
