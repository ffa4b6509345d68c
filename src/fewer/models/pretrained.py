"""Pretrained weights, as `model.weights` names them: a file, a run's best model, or the library's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open
from safetensors.torch import load as tensors_from_bytes

from fewer import models
from fewer.core.errors import CheckpointError, DataError, RecipeError
from fewer.data.images import Moments
from fewer.models.files import is_safetensors, read_tensors
from fewer.models.hub import file_hash
from fewer.models.matching import Match, clear_new_heads, in_order, load_matched, match
from fewer.models.weight_names import unwrapped
from fewer.runs.checkpoint import read_folder
from fewer.runs.published import MODEL_ABOUT, MODEL_WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.models import ModelParams


@dataclass(frozen=True)
class Weights:
    """First weights of a network.

    Attributes:
        tensors: Weights by name.
        origin: What to call them in messages.
        sha256: Hash of the file that they come from.
        moments: Mean and standard deviation of each channel (white is 1) that they were trained with, where known.
        are_usual: Whether these are those of the library's own weights, since a file states none.
    """

    tensors: dict[str, Tensor]
    origin: str
    sha256: str
    moments: Moments | None = None
    are_usual: bool = False

    def fitted(self, params: ModelParams, model: nn.Module, classes: int) -> Match:
        """Compares them with a network, which may be on the meta device.

        Raises:
            RecipeError: They are weights of another architecture.
            DataError: A weight is not finite.
        """
        family = models.family(params.name)
        adapted, trunk = getattr(family, "adapted", None), getattr(family, "TRUNK", "")
        prefix, tensors = unwrapped(self.tensors, model.state_dict())
        try:
            found = match(model, adapted(tensors, model) if adapted else tensors, classes, prefix, trunk)
        except ValueError as error:
            raise DataError(f"model.weights: {self.origin}: {error}; take weights of a run that went well") from None
        if not found.suffices and (renamed := in_order(model, self.tensors, classes)):
            return replace(match(model, renamed, classes), in_order=True)
        if not found.suffices:
            raise RecipeError(
                f'model.weights: {self.origin} holds weights of another architecture than "{params.name}": '
                f"{f'{found.cause}; ' if found.cause else ''}{found.describe()}; change model.name, or set "
                'model.weights = "none"'
            )
        return found

    def put_into(self, params: ModelParams, model: nn.Module, classes: int) -> None:
        """Copies what fits into a network, whose head starts at zero where it does not; errors as `fitted`."""
        found = self.fitted(params, model, classes)
        load_matched(model, found)
        clear_new_heads(model, found, classes)


def read_weights(params: ModelParams) -> Weights | None:
    """The weights that a recipe's `[model]` asks for; None for random ones.

    Raises:
        RecipeError: The place named holds no weights, or the model's library publishes none.
        DataError: A file is damaged, hostile, or cannot be fetched.
        CheckpointError: A run's model is damaged.
    """
    if params.weights == "none":
        return None
    if params.weights == "default":
        return _published(params)
    path = Path(params.weights)
    if path.is_dir():
        return _of_run(path)
    if not path.exists():
        raise RecipeError(f'model.weights = "{path}": no such file or folder; check the path')
    tensors = read_tensors(path)  # first, as it refuses damaged files
    stated = _stated(path)
    return Weights(tensors, str(path), file_hash(path), stated or _usual(params), not stated)


def _stated(path: Path) -> Moments | None:
    """The statistics that a safetensors file names in its metadata, `mean` and `std`, each as a JSON list."""
    if not is_safetensors(path):
        return None
    with safe_open(path, framework="pt") as file:
        about = file.metadata() or {}
    if not {"mean", "std"} <= about.keys():
        return None
    try:
        return _moments(json.loads(about["mean"]), json.loads(about["std"]))
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: mean and std of its metadata: {error}; write JSON lists of three numbers") from None


def _usual(params: ModelParams) -> Moments | None:
    """The statistics that images for the library's own weights of a net are normalised by, which files mostly hold."""
    usual = getattr(models.family(params.name), "usual_moments", None)
    found: Moments | None = usual(params) if usual else None
    return found


def _published(params: ModelParams) -> Weights:
    published = getattr(models.family(params.name), "published", None)
    try:
        if published is None:
            raise ValueError("has no published weights")
        found = published(params)
    except ValueError as error:
        raise RecipeError(
            f'model.weights = "default": "{params.name}" {error}; give a file or a run folder, or set '
            'model.weights = "none"'
        ) from None
    moments = tuple(map(float, found.mean)), tuple(map(float, found.std))
    return Weights(read_tensors(found.file), str(found.file), file_hash(found.file), moments)


def _of_run(path: Path) -> Weights:
    """The best model of a run folder, else its last; or a published model's folder itself."""
    places = (path / "checkpoints" / "best", path / "checkpoints" / "last", path)
    place = next((each for each in places if (each / MODEL_WEIGHTS).is_file()), None)
    if place is None:
        raise RecipeError(
            f'model.weights = "{path}": a folder without a trained model (checkpoints/best); give a run that has '
            "finished an epoch, or a file"
        )
    files = read_folder(place)
    try:
        tensors, about = tensors_from_bytes(files[MODEL_WEIGHTS]), json.loads(files[MODEL_ABOUT])
        moments = _moments(about["mean"], about["std"])
    except Exception as error:  # a manifest that agrees with foreign content
        raise CheckpointError(f"{place}: not a model of this program ({type(error).__name__}: {error})") from None
    # The folder that a link points to may be another one tomorrow: the hash says which it was.
    return Weights(tensors, str(place), file_hash(place / MODEL_WEIGHTS), moments)


def _moments(mean: Sequence[Any], std: Sequence[Any]) -> Moments:
    for values in (mean, std):
        if len(values) != 3 or not all(isinstance(each, (int, float)) and abs(each) < 1e6 for each in values):
            raise ValueError("no three finite numbers")
    if min(std) <= 0:
        raise ValueError("a standard deviation that is not above 0")
    return tuple(map(float, mean)), tuple(map(float, std))
