"""The selector of a recipe, and what it may know of the training images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fewer import select, tasks
from fewer.core.population import Population, ShownClasses
from fewer.core.protocols import Selector
from fewer.data.listing.splits import Split, Splits
from fewer.recipe.schema import Recipe

if TYPE_CHECKING:
    from torch import Tensor


def selector_of(recipe: Recipe, splits: Splits, reference_loss_N: Tensor | None = None) -> Selector:
    """The recipe's selector; reference losses come from `fewer.session.reference_losses`, or from its saved state."""
    return select.build(recipe.select, population_of(recipe, splits, reference_loss_N), recipe.epochs)


def population_of(recipe: Recipe, splits: Splits, reference_loss_N: Tensor | None = None) -> Population:
    """What a selector may know of the training images: the task says how they are grouped."""
    train, task = splits.train, tasks.module(recipe.task.name)
    group_N, groups = task.groups(train.label_N, splits.classes, train.source.objects)
    return Population(
        seed=recipe.train.seed,
        group_N=group_N,
        groups=groups,
        reference_loss_N=reference_loss_N,
        groups_are_classes=task.ANNOTATIONS == "classes",
        shown=shown_classes(train, len(splits.classes)),
    )


def shown_classes(train: Split, classes: int) -> ShownClasses | None:
    """The classes of each training image's boxes, crowd regions left out; None where there are no boxes.

    Args:
        train: The training images.
        classes: Number of classes.
    """
    objects = train.source.objects
    if objects is None:
        return None
    id_A, class_A = torch.from_numpy(objects.image_A), torch.from_numpy(objects.class_A)
    counts_A = (train.label_N[id_A] >= 0) & ~torch.from_numpy(objects.crowd_A)
    pair_P = (id_A[counts_A] * classes + class_A[counts_A]).unique()
    return ShownClasses(pair_P // classes, pair_P % classes, classes)
