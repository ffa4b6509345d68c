"""Earlier runs of a comparison: those that do not belong beside new ones are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewer.compare.grid import Cell
from fewer.core.errors import DataError, RecipeError
from fewer.data.listing.manifest import PackedManifest, difference
from fewer.recipe.parse import load_recipe
from fewer.runs.folder import MANIFEST, RESOLVED

if TYPE_CHECKING:
    from fewer.data.listing.splits import Splits
    from fewer.plan.plan import Plan

_OTHER_FOLDER = "give another folder with --out"


@dataclass(frozen=True)
class Prepared:
    """An arm before its runs: its plan, and the data of today."""

    plan: Plan
    splits: Splits


def refuse_foreign(cells: Sequence[Cell], prepared: Mapping[str, Prepared], metric: str) -> None:
    """Refuses to put earlier runs beside new ones if they are of other data, another version, or chosen by epoch.

    Args:
        cells: All runs, whatever their state.
        prepared: Plan and data, by the arm's key.
        metric: The deciding metric.

    Raises:
        RecipeError: The recipe means something else today, or a run's score is the best of its epochs.
        DataError: The images or their labels have changed.
    """
    for cell in cells:
        if cell.state == "missing":
            continue
        today = prepared[cell.arm.key]
        was, now = cell.result.get("digest"), today.plan.digest
        if cell.state == "done" and was != now:
            raise RecipeError(
                f"{cell.folder}: its digest is {was}, but the same recipe now has {now}: the data or the version of "
                f"fewer has changed; {_OTHER_FOLDER}"
            )
        _refuse_other_data(cell, today.splits)
        if metric.startswith("val/") and _is_best_of_epochs(cell):
            raise RecipeError(
                f"{cell.folder}: its {metric} is the best of its epochs, chosen by the images that judge; a "
                f"comparison's runs are evaluated at their end only; {_OTHER_FOLDER}"
            )


def _refuse_other_data(cell: Cell, splits: Splits) -> None:
    """Compares fingerprints, which change with any name, content, class or split; and says what has changed."""
    fingerprint, manifest = cell.result.get("fingerprint"), cell.folder / MANIFEST
    if fingerprint == splits.fingerprint or not (fingerprint or manifest.is_file()):
        return
    try:
        changed = difference(PackedManifest(manifest), splits.manifest())
    except (OSError, EOFError, ValueError) as error:
        changed = f"{MANIFEST} cannot be read ({error})"
    if changed:
        raise DataError(f"{cell.folder}: images or labels have changed since this run: {changed}; {_OTHER_FOLDER}")


def _is_best_of_epochs(cell: Cell) -> bool:
    """Whether a run's score on the validation images is that of the epoch that they chose, or will be."""
    if cell.state == "begun":
        return load_recipe(cell.folder / RESOLVED).evaluate.every > 0
    best = cell.result.get("best")
    return cell.state == "done" and isinstance(best, dict) and best.get("epoch") != cell.arm.recipe.epochs - 1
