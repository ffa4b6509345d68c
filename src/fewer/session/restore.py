"""The state and the record that a resumed run begins with; a run folder may hold anything, and is checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from fewer.core.errors import CheckpointError, RecipeError, printable
from fewer.runs import checkpoint
from fewer.runs.folder import RunFolder
from fewer.runs.record import read_rows, rewind
from fewer.training import length
from fewer.training.run import ACCUMULATE, OtherWorkersError, Run

_BEST: dict[str, type | tuple[type, ...]] = {
    "epoch": int,
    "metric": str,
    "value": (int, float, type(None)),
    "model": str,
}


def restore_state(run: Run, folder: RunFolder, note: Callable[[str], None], epochs_before: int) -> bool:
    """Loads the newest intact checkpoint into a run; False if there is none yet.

    Args:
        run: The run.
        folder: Its folder.
        note: Says a line.
        epochs_before: The epochs of the run so far, where the checkpoint does not say.

    Raises:
        CheckpointError: None is intact, or the newest holds something else than a state of this run.
        RecipeError: The run stands behind the end that it is to have now.
    """
    try:
        state, path, damaged = checkpoint.load_newest(folder.checkpoints)
    except FileNotFoundError:
        note("no checkpoint yet: the run starts again")
        return False
    for text in damaged:
        note(f"passed over a damaged checkpoint: {text}")
    try:
        run.load_state_dict(state)
        _require_sense(run)
        said = length.restore(run, state, epochs_before)
    except OtherWorkersError as error:  # the checkpoint is as it should be
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # whatever a state of foreign content makes the parts of a run raise
        raise CheckpointError(
            f"{path}: intact, but not a state of this run: {printable(_reason(error))}; remove this folder, and "
            "`fewer resume` uses the checkpoint before it"
        ) from error
    if (run.plan.epochs, 0) < (run.cursor.epoch, run.cursor.batch):
        raise RecipeError(
            f"train.epochs = {run.plan.epochs}: the run already stands in epoch {run.cursor.epoch + 1}; ask for more"
        )
    note(f"resumed from {path.name}")
    if said:
        note(said)
    return True


def restore_rows(run: Run, path: Path) -> list[dict[str, Any]]:
    """Drops the rows behind a run's place, which will be written again, and gives those that are left.

    What is evaluated behind the last checkpoint is evaluated again by a run that stands at its end.
    """
    here, is_over = (run.cursor.epoch, run.cursor.batch), run.cursor.epoch == run.plan.epochs
    behind_checkpoint = False

    def keep(row: Mapping[str, Any]) -> bool:
        nonlocal behind_checkpoint
        place = position(row)
        if row.get("kind") == "checkpoint" and place == here:
            behind_checkpoint = True
        repeated = is_over and behind_checkpoint and row.get("kind") == "evaluation"
        return place is not None and place <= here and not repeated

    rewind(path, keep)
    return read_rows(path)


_FOUND_FIRST = ("reference", "proxy", "lr_find")  # without a step behind them, these are found again


def position(row: Mapping[str, Any]) -> tuple[int, int] | None:
    """Where the run stood after a row; None for one that no run writes."""
    epoch, batch = row.get("epoch", -1), row.get("batch", -1)
    if not (isinstance(epoch, int) and isinstance(batch, int)):
        return None
    if row.get("kind") in ("step", *_FOUND_FIRST):
        return (epoch, batch + 1)
    return (epoch + 1, 0) if row.get("kind") in ("epoch", "evaluation") else (epoch, batch)


def _require_sense(run: Run) -> None:
    """Refuses what would be noticed only later, or never."""
    for name, value in run.cursor.state_dict().items():
        _require(type(value) is int and value >= 0, f"cursor.{name} = {value!r}")
    for counts, seconds in zip(run.ledger.counts, run.ledger.seconds, strict=True):
        _require(all(type(count) is int and count >= 0 for count in counts.values()), f"ledger.exact = {counts!r}")
        _require(all(map(math.isfinite, seconds.values())), f"ledger.seconds = {seconds!r}")
    best, patience = run.validation.best, run.validation.patience
    _require(all(type(value) in (int, float) for value in patience.values()), f"patience = {patience!r}")
    for name, kinds in _BEST.items() if best else ():
        _require(isinstance(best.get(name), kinds), f"best.{name} = {best.get(name)!r}")
    _require(not best or best["model"] == Path(best["model"]).name, "best.model is no name")
    for key, change in run.amendments.items():
        texts = isinstance(change, dict) and {"old", "new", "reason"} <= change.keys()
        _require(texts, f"amendments.{key} = {change!r}")
        _require(key != ACCUMULATE or change["new"].isdecimal(), f"amendments.{key} = {change!r}")
    _require_samples(run)


def _require_samples(run: Run) -> None:
    """Refuses an epoch's order, or a queue, that does not lie among the run's images."""
    selection, batch = run.selection, run.cursor.batch
    order, images = selection.order, len(selection.table)
    _require(type(selection.packed) is int, f"selection.packed = {selection.packed!r}")
    for packed in (selection.packer.queue, *([order.samples] if order else [])):
        ids_G = packed.ids_G
        lengths = {len(values) for values in (ids_G, packed.weight_G, packed.copy_G, packed.owner_G)}
        _require(lengths == {len(ids_G)}, f"selection: columns of {sorted(lengths)} samples")
        inside = not len(ids_G) or (int(ids_G.min()) >= 0 and int(ids_G.max()) < images)
        _require(ids_G.dtype == torch.int64 and inside, f"selection: ids beyond {images} images")
    if order is None:
        _require(not batch, f"cursor.batch = {batch} without an order of the epoch")
    else:
        _require(batch < len(order.sizes), f"cursor.batch = {batch} of {len(order.sizes)}")
        _require(sum(order.sizes) == len(order.samples), "selection.order: sizes that do not add up")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _reason(error: Exception) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:300]
