"""`masks:PATH`: a folder of images with a mask of class ids for each, in folders beside them."""

from __future__ import annotations

from fewer.data.annotations import masks
from fewer.data.annotations.tree import Tree
from fewer.data.reading.annotated import MaskSource

FORMS = ("masks:PATH",)
IGNORES = MASKS = True


def opened(text: str, place: str, ignore_index: int | None = None) -> MaskSource:
    return MaskSource(text, masks.read(Tree(text, place), text, ignore_index))
