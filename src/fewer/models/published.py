"""The model that a run hands over: weights in safetensors, and all that using them takes in JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes

from fewer import models, tasks
from fewer.core.config import Flag, Index, Side
from fewer.core.errors import CheckpointError, printable
from fewer.core.messages import readable
from fewer.core.metadata import TaskMetadata
from fewer.core.sections import parse_section
from fewer.data.decode.depth import FULL, Bits
from fewer.machine.device import device_kind
from fewer.machine.precision import PRECISIONS, weights_dtype
from fewer.models.skeleton import is_its_state, skeleton
from fewer.runs.checkpoint import is_intact, point_to, publish_folder, read_folder, remove, require_finite
from fewer.runs.published import MODEL_ABOUT, MODEL_WEIGHTS, model_folder
from fewer.runs.record import writing

if TYPE_CHECKING:
    from torch import Tensor, nn

SCHEMA = 2  # of model.json: 1 had the keys of a classifier among the others
_OF_A_CLASSIFIER = ("classes", "train_images_per_class", "flip_tta")

_Name = Annotated[str, Field(max_length=4096, strict=True)]
_Mean = Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]
_Std = Annotated[float, Field(gt=1e-6, le=10, allow_inf_nan=False)]


def _section(value: object) -> object:
    """The `[model]` section, checked as a recipe's is."""
    parsed = parse_section(models.ModelParams, value, "model", lambda path: MODEL_ABOUT)
    if parsed.problems:
        raise ValueError("; ".join(map(readable, parsed.problems)))
    return parsed.section


def _task(value: object) -> object:
    """A task's metadata, checked by the task itself."""
    name = value.get("name") if isinstance(value, dict) else None
    try:
        return tasks.module(str(name)).Metadata.model_validate(value)
    except KeyError as error:
        raise ValueError(error.args[0]) from None


class ModelMetadata(BaseModel):
    """`model.json`: what using a published model takes. The file is untrusted: types and bounds are checked.

    Attributes:
        model: The `[model]` section of the recipe.
        task: What the task has to say of it; at least names of what it tells apart.
        side_px: Side that the model was evaluated at.
        largest_side_px: Largest side that it was trained at; 0 in old files: `side_px`.
        precision: As in the plan: what evaluation computed in.
        channels_last: Memory layout of weights and images.
        mean, std: Of each channel, in units where white is 1.
        digest: The plan's.
        epochs: Epochs that it was trained for.
        metrics: Of the validation set, when it was published.
        depth: Bits that the values of 16-bit images have; see `fewer.data.decode.depth`.
        aspect: Width / height of the frames that whole pictures are fitted to; None: centre squares are cut out.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    version: Literal[1, 2] = Field(alias="schema")
    model: Annotated[Any, BeforeValidator(_section)]
    task: Annotated[TaskMetadata, BeforeValidator(_task)]
    side_px: Side
    largest_side_px: Annotated[int, Field(ge=0, le=4096, strict=True)] = 0
    precision: str = "fp32"
    channels_last: Flag = True
    mean: tuple[_Mean, _Mean, _Mean]
    std: tuple[_Std, _Std, _Std]
    digest: _Name = ""
    epochs: Index = 0
    metrics: dict[_Name, float] = {}
    depth: Bits = FULL
    aspect: Annotated[float, Field(gt=0.02, lt=50, allow_inf_nan=False)] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of what the model tells apart."""
        return self.task.classes

    @model_validator(mode="before")
    @classmethod
    def _of_old_files(cls, data: object) -> object:
        """Before tasks had a section, a classifier's keys lay among the others."""
        if not isinstance(data, dict) or data.get("schema") != 1:
            return data
        return {**data, "task": {"name": "classify", **{key: data[key] for key in _OF_A_CLASSIFIER if key in data}}}

    @field_validator("precision")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in PRECISIONS:
            raise ValueError(f"unknown; allowed: {', '.join(PRECISIONS)}")
        return value


def publish_model(model: nn.Module, about: dict[str, Any], folder: Path, epoch: int, link: str = "") -> Path:
    """Publishes a model as `model-epochEEEEE-HASH` below `folder` and, where asked, points `link` to it.

    The name holds a hash of the weights: a model that is published again, after a resume, is there already, and none
    that a link points to is ever taken away to make room. Models that no link points to any more are removed.

    Args:
        model: The model.
        about: Architecture, task, normalisation, metrics: whatever JSON can hold.
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
            publish_folder(
                final, {MODEL_WEIGHTS: data, MODEL_ABOUT: json.dumps(about, indent=1).encode()}, {"epoch": epoch}
            )
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
    model.load_state_dict(tensors_from_bytes(files[MODEL_WEIGHTS]))
    about: dict[str, Any] = json.loads(files[MODEL_ABOUT])
    return about


def open_model(path: str | Path, precision: str = "") -> tuple[nn.Module, ModelMetadata]:
    """A published model with its weights, in evaluation mode on the device that training would use.

    Args:
        path: A run folder, or the folder of a published model; as for `model_folder`.
        precision: "fp32", "bf16", ...; left out: that of the run, so that evaluating gives the run's own numbers.

    Raises:
        RecipeError: There is no model at this path.
        CheckpointError: A file is missing, torn, altered or malformed, or the weights do not fit the model.
    """
    folder = model_folder(Path(path))
    files = read_folder(folder)
    if not {MODEL_WEIGHTS, MODEL_ABOUT} <= files.keys():
        raise _unusable(folder, f"{MODEL_WEIGHTS} or {MODEL_ABOUT} is not among its files")
    about = _about(folder, files[MODEL_ABOUT])
    if precision:
        about = about.model_copy(update={"precision": precision})
    try:
        weights = tensors_from_bytes(files[MODEL_WEIGHTS])
    except Exception as error:  # safetensors' own error has no base of its own
        raise _unusable(folder, f"{MODEL_WEIGHTS}: {error}") from None
    with torch.random.fork_rng(devices=[]):  # fresh weights are drawn in vain, and must not move anybody's stream
        with skeleton():  # before anything of the size that the file asks for is made
            model = _built(folder, about)
        _require_fit(folder, about, model, weights)
        if not is_its_state(model):
            model = _built(folder, about)
    # A model without memory takes the tensors as its own: no fresh weights are drawn only to be overwritten.
    model.load_state_dict({name: value.clone() for name, value in weights.items()}, assign=True)
    layout = torch.channels_last if about.channels_last else torch.contiguous_format
    model.to(torch.device(device_kind()), weights_dtype(about.precision)).to(memory_format=layout)
    return model.eval().requires_grad_(False), about


def _about(folder: Path, data: bytes) -> ModelMetadata:
    try:
        content = json.loads(data)
        return ModelMetadata.model_validate(content)
    except (ValueError, RecursionError) as error:
        details = error.errors() if isinstance(error, ValidationError) else []
        problems = [f"{'.'.join(map(str, detail['loc'])) or 'the file'}: {detail['msg']}" for detail in details]
        raise _unusable(folder, f"{MODEL_ABOUT}: {'; '.join(problems[:5]) or type(error).__name__}") from None


def _built(folder: Path, about: ModelMetadata) -> nn.Module:
    options = about.model.model_dump(exclude={"name"})
    side = about.largest_side_px or about.side_px
    try:
        return models.build(about.model.name, len(about.classes), side, **options)
    except (KeyError, ValueError, RuntimeError) as error:
        raise _unusable(folder, f"{MODEL_ABOUT}: the model cannot be built: {error}") from None


def _require_fit(folder: Path, about: ModelMetadata, model: nn.Module, weights: dict[str, Tensor]) -> None:
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in weights.items()}
    wrong = sorted(name for name in {*wanted, *given} if wanted.get(name) != given.get(name))
    if wrong:
        first = wrong[0]
        raise _unusable(
            folder,
            f"the weights do not fit {about.model.name} with {len(about.classes)} classes: {len(wrong)} differ "
            f"(first: {first}, {given.get(first, 'missing')} where {wanted.get(first, 'nothing')} is wanted)",
        )
    broken = [name for name, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise _unusable(folder, f"{broken[0]} holds NaN or infinity")


def _unusable(folder: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{folder}: {printable(what)}; give another model, or train it again")
