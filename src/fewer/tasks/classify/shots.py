"""Classes by how many training images they have: many, medium, few (Liu et al. 2019, arXiv 1904.05160, section 5).

Imports no torch: the report uses it too. C: classes.
"""

from __future__ import annotations

from collections.abc import Sequence

MANY, FEW = 100, 20  # more than, fewer than so many images
NAMES = ("many", "medium", "few")
RANGES = {"many": f"more than {MANY}", "medium": f"{FEW} to {MANY}", "few": f"fewer than {FEW}"}
_UNEQUAL = 2


def is_imbalanced(images_C: Sequence[int]) -> bool:
    """Whether the largest class has more than twice the images of the smallest: then the groups are worth telling."""
    return bool(images_C) and max(images_C) > _UNEQUAL * min(images_C)


def groups(images_C: Sequence[int]) -> dict[str, list[int]]:
    """The classes of each group that has any."""
    found: dict[str, list[int]] = {name: [] for name in NAMES}
    for index, images in enumerate(images_C):
        found["many" if images > MANY else "few" if images < FEW else "medium"].append(index)
    return {name: classes for name, classes in found.items() if classes}
