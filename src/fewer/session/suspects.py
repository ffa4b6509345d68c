"""Suspected labels as files for a person to judge: `suspects.csv`, and pictures for the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from fewer.core.evaluation import WorstSample
from fewer.core.types import Request
from fewer.data.one_pass import evaluation_batch_size
from fewer.runs.folder import SUSPECTS, RunFolder
from fewer.runs.record import inert, write_table

if TYPE_CHECKING:
    from torch import nn

    from fewer.session.build import Session

Draw = Callable[[list[WorstSample], "nn.Module"], list[str]]
_PICTURES = 60  # at most


def list_suspects(session: Session, folder: RunFolder, model: nn.Module, draw: Draw) -> list[dict[str, Any]]:
    """Writes `suspects.csv`, the highest loss first, with what the model predicts; if there are any suspects.

    Args:
        session: The run.
        folder: Where to; only the process that writes the folder predicts anything.
        model: The model that is published, in eval mode.
        draw: Draws samples; returns the paths of their pictures within the folder, of none where none are wanted.

    Returns:
        The first entries, for the report: `name`, `label`, `loss`, `predicted`, and `thumbnail` where there is one.
    """
    run, train = session.run, session.splits.train
    ids = run.selection.selector.suspected()
    if not len(ids) or not folder.writes:
        return []
    loss_M = run.selection.table.loss_N[ids].nan_to_num(0.0)
    order = loss_M.argsort(descending=True, stable=True)
    ids, losses = ids[order], loss_M[order].tolist()
    names = [train.source.names[i] for i in ids.tolist()]
    labels = [train.classes[int(label)] for label in train.label_N[ids]]
    written, told = _predicted(session, model, ids)
    lines = [
        {
            "name": inert(name, "./"),
            "label": inert(label, "'"),
            "loss": round(loss, 4),
            **{key: inert(text, "'") for key, text in cells.items()},
        }
        for name, label, loss, cells in zip(names, labels, losses, written, strict=True)
    ]
    write_table(folder.path / SUSPECTS, tuple(lines[0]), lines)
    shown: list[dict[str, Any]] = [
        {"name": name, "label": label, "loss": loss, "predicted": text}
        for name, label, loss, text in list(zip(names, labels, losses, told, strict=True))[:_PICTURES]
    ]
    for sample, path in zip(shown, draw([WorstSample(i, 0.0) for i in ids[:_PICTURES].tolist()], model), strict=False):
        sample["thumbnail"] = path
    return shown


def _predicted(session: Session, model: nn.Module, ids_M: torch.Tensor) -> tuple[list[dict[str, str]], list[str]]:
    """What the model makes of some training images, as cells of a table by `predicted_` names, and in words."""
    task, run, side_px = session.task, session.run, session.plan.evaluation_side_px
    form, size = task.format(1), evaluation_batch_size(side_px)
    requests = (Request.evaluation(side_px, run.cursor.epoch, ids) for ids in ids_M.split(size))
    with run.ledger.phase("evaluate"):
        found = [
            prediction
            for batch in session.train_data.batches(requests)
            for prediction in task.predictions(model, batch, 1)
        ]
    run.ledger.book(run.plan.stages[-1].index, samples_evaluated=len(ids_M))
    columns = [f"predicted_{column}" for column in form.columns]
    cells = [dict(zip(columns, form.cells(each), strict=True)) for each in found]
    return cells, [form.text(each) for each in found]
