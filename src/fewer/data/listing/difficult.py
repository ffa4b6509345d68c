"""Sentences about the objects of a split that are marked as difficult.

A: objects.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fewer.core.annotation_keys import Difficult
from fewer.core.errors import DataError
from fewer.data.reading.source import Source

_KEY = "data.difficult"


def handled(source: Source, ids: npt.NDArray[np.int64]) -> Difficult:
    """What becomes of difficult objects of some images; "use" where no object of them is marked so."""
    objects = source.objects
    if objects is None or not objects.difficult_A[np.isin(objects.image_A, ids)].any():
        return "use"
    return objects.difficult


def note_difficult(source: Source, ids: npt.NDArray[np.int64], purpose: str, notes: list[str]) -> None:
    """Says how many objects of a split are difficult, and what that means for it.

    Args:
        source: The images.
        ids: Those of the split.
        purpose: What they are for: "train", "val" or "test".
        notes: Where a sentence is added.

    Raises:
        DataError: Nothing is left to train on.
    """
    objects = source.objects
    if objects is None or objects.difficult == "use":
        return
    own_A = np.isin(objects.image_A, ids)
    total, difficult = int(own_A.sum()), int((own_A & objects.difficult_A).sum())
    if not difficult:
        return
    trains, key = purpose == "train", f'{_KEY} = "{objects.difficult}"'
    if trains and not (own_A & objects.trained_A).any():
        raise DataError(
            f"{source.name}: {key} leaves nothing to train on: {_of(difficult, total)} of the train set are difficult"
            f'{"" if difficult == total else ", the others regions of many"}; fix: {_KEY} = "train"'
        )
    what = f"{_of(difficult, total)} of the {purpose} set are marked as difficult"
    if trains:
        done = "trained on" if objects.difficult == "train" else "not trained on"
        notes.append(f"{what}: {done} ({key})")
    elif (own_A & ~objects.crowd_A & ~objects.ignored_A).any():
        notes.append(f'{what}: not counted, found or not ({key}; "use" counts them)')
    else:
        notes.append(f'{what}, and none is left to count: AP is 0 whatever is found; {_KEY} = "use" counts them')


def _of(difficult: int, total: int) -> str:
    return f"all {total:,} objects" if difficult == total else f"{difficult:,} of {total:,} objects"
