"""`yolo:PATH`: a folder of images with boxes in text files, as YOLO reads them; PATH may be its `data.yaml`."""

from __future__ import annotations

import os

from fewer.data.annotations import yolo
from fewer.data.annotations.boxes import Boxes, settled
from fewer.data.annotations.tree import Tree
from fewer.data.reading.annotated import BoxSource

FORMS = ("yolo:PATH",)


def opened(text: str, place: str) -> BoxSource:
    return BoxSource(text, listed(text, place))


def listed(text: str, place: str, keeps: bool = False) -> Boxes:
    """What lies there, faults and all; with the keys that only this format has, if it `keeps` them."""
    folder, file = os.path.split(os.path.expanduser(place)) if place.endswith((".yaml", ".yml")) else (place, "")
    tree = Tree(text, folder or ".")
    return settled(yolo.read(tree, keeps, file), tree)
