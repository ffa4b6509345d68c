"""The model that a run hands over: weights in safetensors, and all that using them takes in JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes

from fewer.checkpoint import is_intact, point_to, publish_folder, read_folder, remove, require_finite
from fewer.record import writing

if TYPE_CHECKING:
    from torch import nn

_WEIGHTS, _ABOUT = "model.safetensors", "model.json"


def publish_model(model: nn.Module, about: dict[str, Any], folder: Path, epoch: int, link: str = "") -> Path:
    """Publishes a model as `model-epochEEEEE-HASH` below `folder` and, where asked, points `link` to it.

    The name holds a hash of the weights: a model that is published again, after a resume, is there already, and none
    that a link points to is ever taken away to make room. Models that no link points to any more are removed.

    Args:
        model: The model.
        about: Architecture, classes, normalisation, metrics: whatever JSON can hold.
        folder: The run's `checkpoints` folder.
        epoch: Epochs that the model has been trained for.
        link: Name of the link, `best` or `last`; left out, `link_model` follows.

    Raises:
        DivergedError: A weight is not finite; nothing is published.
        ResourceError: The disk is full or cannot be written; the link points to what it pointed to.
    """
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    for name, value in weights.items():
        require_finite(name, value)
    data = tensors_to_bytes(weights)
    final = folder / f"model-epoch{epoch:05d}-{hashlib.sha256(data).hexdigest()[:8]}"
    with writing(final):
        if not is_intact(final):
            if final.exists():
                remove(final)
            publish_folder(final, {_WEIGHTS: data, _ABOUT: json.dumps(about, indent=1).encode()}, {"epoch": epoch})
    if link:
        link_model(folder, final.name, link)
    return final


def link_model(folder: Path, name: str, link: str) -> None:
    """Points `link` to the published model `name`, if it is there, and removes models that no link points to.

    Raises:
        ResourceError: The disk is full or cannot be written; the link points to what it pointed to.
    """
    with writing(folder / link):
        if (folder / name).is_dir():
            point_to(folder / link, folder / name)
        linked = {path.resolve().name for path in folder.iterdir() if path.is_symlink()}
        for other in folder.glob("model-epoch*"):
            if other.name not in linked:
                remove(other)


def load_model(model: nn.Module, path: Path) -> dict[str, Any]:
    """Loads published weights into a model of the same architecture; returns what was published about it.

    Raises:
        CheckpointError: A file is missing, torn or altered.
    """
    files = read_folder(path)
    model.load_state_dict(tensors_from_bytes(files[_WEIGHTS]))
    about: dict[str, Any] = json.loads(files[_ABOUT])
    return about
