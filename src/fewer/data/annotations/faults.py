"""Faults of annotations: what readers find wrong with files, and what becomes of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

_NOTES = {  # what only several have is in brackets
    "box-malformed": "annotation[s] without a sound box",
    "box-empty": "box[es] without area",
    "box-inverted": "box[es] whose edges change places",
    "box-outside": "box[es] beyond the edge of the picture",
    "unknown-category": "annotation[s] of an unknown category",
    "unknown-image": "annotation[s] of an unknown image",
    "image-missing": "annotated image[s] that cannot be found",
    "image-unannotated": "image[s] that no annotation names",
    "no-label-file": "image[s] without a file of labels",
    "image-ambiguous": "annotation file[s] whose image cannot be told",
    "image-in-two-splits": "image[s] that two splits name",
    "mask-missing": "picture[s] without a mask",
    "size-differs": "image[s] of another size than stated",
}
_FATES = {
    "size-differs": "boxes are taken as they are",
    "box-outside": "cut, or left out",
    "no-label-file": "taken as background",
    "image-in-two-splits": "used in the first",
}
_INSIDE = r"\1"
_PLURAL = re.compile(r"\[(.*?)\]")


class Fault(NamedTuple):
    """Something wrong with annotations.

    Attributes:
        code: A key of `fewer.inspection.findings.KINDS`.
        path: The file, below the root of the source.
        reason: A phrase.
    """

    code: str
    path: str
    reason: str


def counted(faults: Sequence[Fault]) -> list[str]:
    """A sentence for each kind of fault that training goes on with."""
    counts = Counter(fault.code for fault in faults)
    first = {fault.code: fault.path for fault in reversed(faults)}
    return [
        f"{counts[code]:,} {_PLURAL.sub('' if counts[code] == 1 else _INSIDE, what)}: {_FATES.get(code, 'left out')} "
        f"(first: {first[code]})"
        for code, what in _NOTES.items()
        if counts[code]
    ]
