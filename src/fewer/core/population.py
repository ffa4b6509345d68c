"""The training set as a selector may know it: its seed, the group of every sample, the classes that images show.

N: all ids of the source. P: pairs of an image and a class that it shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.choices import Choices


@dataclass(frozen=True, slots=True)
class ShownClasses:
    """Which classes the training images show, where an image may show several or none.

    Attributes:
        id_P: Image of each pair, int64.
        class_P: Class of each pair, int64; a class stands once for an image, however many objects it has there.
        classes: Number of classes.
    """

    id_P: Tensor
    class_P: Tensor
    classes: int


@dataclass(frozen=True, slots=True)
class Population:
    """What a selector may know of the training set.

    Attributes:
        seed: The run's seed.
        group_N: Group of every id, int64, by which guards and quotas count: its class in classification. -1 where an id
            is not a training sample.
        groups: Number of groups.
        reference_loss_N: Loss of every id under a reference model, for methods that ask for one; NaN where unknown.
        groups_are_classes: Whether the groups are what the task tells apart. Where they are not, as bins of the number
            of objects, losses of different groups are not comparable.
        shown: Which classes each image shows, where that is known and the groups do not say it.
        choices: Which samples a proxy has chosen in which epoch, for methods that ask for it.
    """

    seed: int
    group_N: Tensor
    groups: int
    reference_loss_N: Tensor | None = None
    groups_are_classes: bool = True
    shown: ShownClasses | None = None
    choices: Choices | None = None
