"""`voc:PATH`: a folder of images with boxes in XML files, as Pascal VOC has them."""

from __future__ import annotations

from fewer.data.annotations import voc
from fewer.data.annotations.boxes import Boxes, settled
from fewer.data.annotations.tree import Tree
from fewer.data.reading.annotated import BoxSource

FORMS = ("voc:PATH",)
DIFFICULT = True


def opened(text: str, place: str) -> BoxSource:
    return BoxSource(text, listed(text, place))


def listed(text: str, place: str, keeps: bool = False) -> Boxes:
    """What lies there, faults and all; with the keys that only this format has, if it `keeps` them."""
    tree = Tree(text, place)
    return settled(voc.read(tree, keeps), tree)
