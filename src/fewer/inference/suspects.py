"""Annotations of any images that a published model speaks against, as a table for a person to judge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fewer.core.errors import RecipeError
from fewer.core.suspicion import Suspects, Suspicion
from fewer.inference.evaluate import Opened, sound_batches
from fewer.runs.record import write_table
from fewer.session.dense_suspects import COLUMNS, ordered, row_of


def require_suspects(opened: Opened) -> None:
    """Refuses a model whose task names no suspects.

    Raises:
        RecipeError: It learns from classes.
    """
    if not isinstance(opened.handed.task, Suspects):
        raise RecipeError(
            f"--suspects: {opened.handed.task.name} learns from classes, whose suspects the guards of a run list; "
            "leave it out"
        )


def suspicions(opened: Opened, on_progress: Callable[[int, int], None] | None = None) -> list[Suspicion]:
    """What the model holds against the annotation of the images, the surest first; damaged images are left out."""
    require_suspects(opened)
    task = opened.handed.task
    assert isinstance(task, Suspects)
    return ordered(task.suspicions(opened.handed.model, sound_batches(opened, [], on_progress)))


def write_suspects(found: list[Suspicion], opened: Opened, path: Path) -> None:
    """Writes them as CSV, a row each; without pictures.

    Raises:
        ResourceError: The disk is full or cannot be written.
    """
    columns = [column for column in COLUMNS if column != "picture"]
    images = opened.images
    write_table(path, columns, (row_of(each, images.source.names, images.classes) for each in found))
