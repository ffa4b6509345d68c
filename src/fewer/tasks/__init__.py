"""Tasks, found by name: each is a folder that holds all that is its own.

A task's folder gives, without importing torch:

- `Params`: its keys of `[task]`; `build(params, setting)`: the task of a recipe;
- `METRICS`, of which `PRIMARY` decides, `STEP_METRICS` are recorded at every step, and `VALIDATION_METRICS` stand in
  the line of an epoch;
- `metric_names(images_C)`: the metrics that an evaluation may have, by the training images of each class;
- `Metadata`: its part of `model.json`, a `fewer.core.metadata.TaskMetadata`, and `EVALUATION_KEYS`: the keys of it that
  an evaluation may change;
- `ANNOTATIONS`: what the images must be annotated with, "classes", "boxes" or "masks"; `OWN_SIDES_PX`: the smallest and
  the largest side of a recipe that names none; `SIDE_STEP_PX`: what sides must be multiples of;
- `PER_IMAGE_LOSSES`: False where an outcome has one loss for its batch, which every sample of it is given; left out:
  True, as `fewer.core.protocols.Task` promises;
- `plain(classes, aspect)`: a task with default settings; `restored(metadata, autocast)`: the task of a published model;
- `groups(label_N, classes, objects)`: the group of every sample, by which selection guards and draws, and their number;
  `objects` is the `fewer.core.objects.ObjectTable` of a source of boxes;
- `by_class(tables, classes)`: an evaluation class by class, as columns of a table.

Its part of the report lies in `fewer.report.sections.tasks`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fewer.core.registry import Registry

if TYPE_CHECKING:
    from fewer.core.evaluation import Metric


TASKS = Registry("fewer.tasks", "task", "fewer.tasks", "name")


def module(name: str) -> Any:
    """A task's folder.

    Raises:
        KeyError: There is none of this name.
    """
    return TASKS.module(name)


def description(name: str) -> dict[str, Any]:
    """What a run records of its task: its name, its primary metric's, those of an epoch, and how to read all."""
    found = module(name)
    metrics: tuple[Metric, ...] = found.METRICS
    return {
        "name": name,
        "primary": found.PRIMARY.name,
        "metrics": [asdict(metric) for metric in metrics],
        "validation_metrics": [metric.name for metric in found.VALIDATION_METRICS],
    }
