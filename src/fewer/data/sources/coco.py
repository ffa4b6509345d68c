"""`coco:PATH`: images with boxes in COCO's JSON. PATH is a folder with a file a split, or one such file."""

from __future__ import annotations

import os

from fewer.data.annotations import coco
from fewer.data.annotations.boxes import settled
from fewer.data.annotations.tree import Tree
from fewer.data.reading.annotated import BoxSource

FORMS = ("coco:PATH",)


def opened(text: str, place: str) -> BoxSource:
    path = os.path.expanduser(place)
    if not os.path.isfile(path):
        tree = Tree(text, path)
        return BoxSource(text, settled(coco.read(tree), tree))
    tree, only = coco.around_file(text, path)
    return BoxSource(text, settled(coco.read(tree, only=only), tree))
