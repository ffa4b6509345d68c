"""`coco:PATH`: images with boxes in COCO's JSON. PATH is a folder with a file a split, or one such file."""

from __future__ import annotations

import os

from fewer.data.annotations import coco
from fewer.data.annotations.boxes import Boxes, settled
from fewer.data.annotations.tree import Tree
from fewer.data.reading.annotated import BoxSource

FORMS = ("coco:PATH",)
DIFFICULT = True


def opened(text: str, place: str) -> BoxSource:
    return BoxSource(text, listed(text, place))


def listed(text: str, place: str, keeps: bool = False) -> Boxes:
    """What lies there, faults and all; with the keys that only this format has, if it `keeps` them."""
    path = os.path.expanduser(place)
    if not os.path.isfile(path):
        tree = Tree(text, path)
        return settled(coco.read(tree, keeps), tree)
    tree, only = coco.around_file(text, path)
    return settled(coco.read(tree, keeps, only), tree)
