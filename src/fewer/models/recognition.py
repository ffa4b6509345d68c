"""Recognition of the network that first weights belong to: by what they state or are called, and by their tensors."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from fewer import models
from fewer.core.errors import CheckpointError, RecipeError

_SURE = 0.99  # of the network's and of the file's numbers that must fit
_CLASSES, _SIDE_PX = 1000, 224


def network_of(weights: str) -> dict[str, Any]:
    """The keys of `[model]` that describe the network of some weights, `name` among them.

    A run's model states its network, and so may the metadata of a safetensors file, as `model`. Of other files, a model
    whose name is part of the file's name is taken where all tensors fit.

    Args:
        weights: A file, or a run folder.

    Raises:
        RecipeError: No network is found.
        DataError: The file cannot be read.
    """
    path = Path(weights)
    if not path.exists():
        raise RecipeError(f'model.weights = "{path}": no such file or folder; check the path')
    if path.is_dir():
        return _of_run(path)
    name = next((name for name in _candidates(path) if _fits(name, path)), None)
    if name is None:
        raise _unknown(path)
    return {"name": name}


def _of_run(path: Path) -> dict[str, Any]:
    for place in (path / "checkpoints" / "best", path / "checkpoints" / "last", path):
        if (place / "model.json").is_file():
            try:
                about = json.loads((place / "model.json").read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError) as error:
                raise CheckpointError(f"{place / 'model.json'}: cannot be read: {error}; copy it again") from None
            found = about.get("model") if isinstance(about, dict) else None
            if isinstance(found, dict) and isinstance(found.get("name"), str):
                return {key: value for key, value in found.items() if key != "weights"}
    raise _unknown(path)


def _unknown(path: Path) -> RecipeError:
    text = f'model.weights = "{path}": neither its name nor its content says which network these weights belong to'
    return RecipeError(f"{text}; give it, e.g. model.name=resnet18")


def _candidates(path: Path) -> list[str]:
    """Names of models, the likeliest first."""
    plain = {name: _folded(name.removeprefix("timm:")) for name in models.names()}
    called = [name for name in plain if plain[name] in _folded(path.stem)]
    called.sort(key=lambda name: (-len(plain[name]), ":" in name, name))
    return [stated, *called] if (stated := _stated(path)) in plain else called


def _stated(path: Path) -> str:
    if path.suffix != ".safetensors":
        return ""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return str((file.metadata() or {}).get("model", ""))
    except (SafetensorError, OSError):  # reading its weights says what is wrong with it
        return ""


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _fits(name: str, path: Path) -> bool:
    import torch

    from fewer.models.pretrained import read_weights

    params = models.params(name)(name=name, weights=str(path))
    weights = read_weights(params)
    assert weights is not None
    try:
        with torch.device("meta"):
            network = models.build(name, _CLASSES, _SIDE_PX)
        found = weights.fitted(params, network, _CLASSES)
    except (RecipeError, ValueError, RuntimeError, NotImplementedError):  # another network, or it cannot be built so
        return False
    return min(found.share, found.used) >= _SURE
