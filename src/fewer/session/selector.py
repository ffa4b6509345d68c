"""The selector of a recipe, and what it may know of the training images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from fewer import select, tasks
from fewer.core.abilities import HasColumns
from fewer.core.errors import RecipeError
from fewer.core.observation import Column
from fewer.core.population import Population, ShownClasses
from fewer.core.protocols import Selector, Task
from fewer.data.listing import presence
from fewer.data.listing.splits import Split, Splits
from fewer.recipe.schema import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.choices import Choices


def selector_of(
    recipe: Recipe, splits: Splits, reference_loss_N: Tensor | None = None, choices: Choices | None = None
) -> Selector:
    """The recipe's selector; what it takes from before the first epoch is given, or comes from its saved state."""
    return select.build(recipe.select, population_of(recipe, splits, reference_loss_N, choices), recipe.epochs)


def population_of(
    recipe: Recipe, splits: Splits, reference_loss_N: Tensor | None = None, choices: Choices | None = None
) -> Population:
    """What a selector may know of the training images: the task says how they are grouped."""
    train, task = splits.train, tasks.module(recipe.task.name)
    group_N, groups = task.groups(train.label_N, splits.classes, train.source.objects)
    return Population(
        seed=recipe.train.seed_of_data,
        group_N=group_N,
        groups=groups,
        reference_loss_N=reference_loss_N,
        groups_are_classes=task.ANNOTATIONS == "classes",
        shown=shown_classes(train, len(splits.classes), splits.cache, recipe.select.needs_shown),
        choices=choices,
    )


def shown_classes(train: Split, classes: int, cache: bool = True, reads_masks: bool = False) -> ShownClasses | None:
    """The classes of each training image's boxes that are trained on, or of its mask; None where there are neither.

    Args:
        train: The training images.
        classes: Number of classes.
        cache: Whether what masks show may be kept in the user's cache folder.
        reads_masks: Whether masks are read for it, where nothing is remembered of them; else they count as unknown.
    """
    objects = train.source.objects
    if reads_masks and train.source.annotations == "masks":
        ids_M = train.ids_M.numpy()
        row_P, class_P = np.nonzero(presence.shown_classes(train.source, ids_M, cache))
        return ShownClasses(torch.from_numpy(ids_M[row_P]), torch.from_numpy(class_P), classes)
    if objects is None:
        return None
    id_A, class_A = torch.from_numpy(objects.image_A), torch.from_numpy(objects.class_A)
    counts_A = (train.label_N[id_A] >= 0) & torch.from_numpy(objects.trained_A)
    pair_P = (id_A[counts_A] * classes + class_A[counts_A]).unique()
    return ShownClasses(pair_P // classes, pair_P % classes, classes)


def columns_of(selector: Selector, task: Callable[[], Task], method: str) -> Sequence[Column]:
    """The columns that a selector asks for, with the task's own ones in the place of those that only it can compute.

    Args:
        selector: The method.
        task: Builds the task, where a column is its own.
        method: What messages call the method.

    Raises:
        RecipeError: The task does not have a column.
    """
    if all(column.compute for column in selector.columns):
        return selector.columns
    found = task()
    told = found.columns if isinstance(found, HasColumns) else {}
    asked = [column.name for column in selector.columns if not column.compute]
    if lacking := [name for name in asked if name not in told]:
        able = ", ".join(f'"{name}"' for name in tasks.TASKS.names() if _tells(name, asked)) or "none that is installed"
        raise RecipeError(
            f'{method} chooses by {" and ".join(lacking)} of each image, which task.name = "{found.name}" does not '
            f"tell; tasks that do: {able}; take another method"
        )
    return [column if column.compute else replace(told[column.name], width=column.width) for column in selector.columns]


def _tells(name: str, asked: Sequence[str]) -> bool:
    """Whether a task has columns of these names."""
    task = tasks.module(name).plain(("a", "b"))
    return isinstance(task, HasColumns) and set(asked) <= set(task.columns)
