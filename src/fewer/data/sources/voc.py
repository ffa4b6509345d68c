"""`voc:PATH`: a folder of images with boxes in XML files, as Pascal VOC has them."""

from __future__ import annotations

from fewer.data.annotations import voc
from fewer.data.annotations.boxes import settled
from fewer.data.annotations.tree import Tree
from fewer.data.reading.annotated import BoxSource

FORMS = ("voc:PATH",)


def opened(text: str, place: str) -> BoxSource:
    tree = Tree(text, place)
    return BoxSource(text, settled(voc.read(tree), tree))
