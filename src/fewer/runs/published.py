"""The place of a published model: which folder a path stands for, and which run it belongs to; needs no torch."""

from __future__ import annotations

from pathlib import Path

from fewer.core.errors import CheckpointError, RecipeError
from fewer.core.text import command
from fewer.runs.folder import RESOLVED
from fewer.runs.record import read_object

MODEL_WEIGHTS, MODEL_ABOUT = "model.safetensors", "model.json"  # of a published model's folder


def model_folder(path: Path) -> Path:
    """The published model that a path stands for.

    Args:
        path: A run folder (its `checkpoints/best`; in a run that is not finished, the newest model published so far),
            or the folder of a published model.

    Raises:
        RecipeError: The path is neither.
        CheckpointError: The run has not published a model yet.
    """
    if (path / MODEL_ABOUT).is_file():
        return path.resolve()
    checkpoints = path / "checkpoints"
    published = sorted(checkpoints.glob("model-epoch*"), key=lambda folder: (folder.name[:16], folder.stat().st_mtime))
    for folder in (checkpoints / "best", checkpoints / "last", *reversed(published)):
        if folder.is_dir():
            return folder.resolve()
    if (path / "result.json").is_file():
        again = command("fewer", "train", path / RESOLVED)
        raise CheckpointError(f"{path}: the run is done and no longer holds its model; {again} trains it again")
    if (path / RESOLVED).is_file():
        raise CheckpointError(
            f"{path}: the run has published no model yet; {command('fewer', 'resume', path)} trains on"
        )
    if (path / "manifest.json").is_file():
        raise CheckpointError(
            f"{path}: holds no {MODEL_ABOUT}: not a published model; give the run folder, its checkpoints/best or last"
        )
    what = "neither a run nor a published model" if path.is_dir() else "no such folder"
    raise RecipeError(f"{path}: {what}; give the folder that `fewer train` made, or its checkpoints/best or last")


def run_of(folder: Path) -> Path | None:
    """The run folder that a published model lies in, if it still does."""
    run = folder.parent.parent
    return run if folder.parent.name == "checkpoints" and (run / RESOLVED).is_file() else None


def unfinished(folder: Path, epochs: int) -> str:
    """What is to be said of a model whose run has not finished; empty otherwise.

    Args:
        folder: The published model.
        epochs: Epochs that it was trained for.
    """
    run = run_of(folder)
    if run is None or (run / "result.json").exists():
        return ""
    try:
        planned = f" of {int(read_object(run / 'plan.json')['epochs'])}"
    except (OSError, ValueError, KeyError, TypeError):
        planned = ""
    return (
        f"{run} is not finished: this model has seen {epochs}{planned} epochs; {command('fewer', 'resume', run)} "
        "trains on, unless it is training now"
    )
