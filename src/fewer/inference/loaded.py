"""A published model, loaded and ready to look at images."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fewer import tasks
from fewer.core.errors import RecipeError
from fewer.data.settings import InputSettings, ViewSettings
from fewer.machine.device import device_kind
from fewer.machine.precision import autocast_dtype, weights_dtype
from fewer.models.published import ModelMetadata, open_model
from fewer.runs.published import model_folder

if TYPE_CHECKING:
    from torch import nn

    from fewer.core.protocols import Task


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to look at images, exactly as its run's evaluation did.

    Attributes:
        folder: Where it was published.
        model: With its weights, in evaluation mode.
        about: What was published about it.
        task: Turns images into logits and metrics.
        side_px: Side of the images that it is given.
    """

    folder: Path
    model: nn.Module
    about: ModelMetadata
    task: Task
    side_px: int

    @property
    def inputs(self) -> InputSettings:
        """How images become inputs."""
        about = self.about
        return InputSettings(about.mean, about.std, device_kind(), weights_dtype(about.precision), about.channels_last)

    @property
    def views(self) -> ViewSettings:
        """Whether pictures are cut to squares or shown whole."""
        return ViewSettings(aspect=self.about.aspect)

    def at_side(self, side_px: int) -> LoadedModel:
        """The same model for images of another side.

        Raises:
            RecipeError: It does not take them.
        """
        if side_px != self.about.side_px:
            _require_side(self.model, self.about, side_px)
        return replace(self, side_px=side_px)


def load_published(
    path: str | Path, *, precision: str = "", side_px: int = 0, task: Mapping[str, Any] | None = None
) -> LoadedModel:
    """The model that a path stands for, as for `fewer.models.published.open_model`.

    Args:
        path: A run folder, or the folder of a published model.
        precision: Left out: that of the run.
        side_px: Left out: that of the run's evaluation.
        task: Keys of `[task]` that evaluation may change, such as `tta`; left out: those of the run.

    Raises:
        RecipeError: There is no model at this path, or it does not take images of this side.
        CheckpointError: The model cannot be used.
    """
    folder = model_folder(Path(path))
    model, about = open_model(folder, precision)
    about = about.model_copy(update={"task": about.task.model_copy(update=dict(task or {}))})
    restored = tasks.module(about.task.name).restored(about.task, autocast_dtype(about.precision))
    return LoadedModel(folder, model, about, restored, about.side_px).at_side(side_px or about.side_px)


def _require_side(model: nn.Module, about: ModelMetadata, side_px: int) -> None:
    try:
        task = tasks.module(about.task.name).plain(about.classes, about.aspect or 1.0)
        batch = task.dummy_batch(side_px, torch.device("meta"), weights_dtype(about.precision))
        task.dry_run(copy.deepcopy(model).to("meta"), batch)
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecipeError(
            f"side_px = {side_px}: {about.model.name} does not take images of this side ({reason}); "
            f"it was evaluated at {about.side_px}"
        ) from None
