"""The classes that masks show: each mask is read once, and what it shows is remembered in the user's cache folder.

Kept as content hashes are (`fewer.data.listing.fingerprint`), under the place, size and modification time of a mask and
under what its values stand for. M: ids asked for. N: all ids of the source. C: classes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from fewer.core.annotation_keys import Strata
from fewer.core.drawing.palette import VOID
from fewer.core.errors import DataError
from fewer.data.listing import fingerprint
from fewer.data.sources import Source

if TYPE_CHECKING:
    from fewer.data.decode.on_request import DamagedImage

Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_THREADS = 4  # reading waits for the disk, and decoding lets go of the interpreter


@dataclass(frozen=True)
class _Masks:
    """What is known of a source's masks: which have been read, what they show, and why some cannot be used."""

    known_N: Flags
    shown_NC: Flags
    faults: dict[int, str] = field(default_factory=dict)


_READ: WeakKeyDictionary[Source, _Masks] = WeakKeyDictionary()


def shown_classes(source: Source, ids: Ids, cache: bool = True) -> Flags:
    """Which classes the masks of some images show (M, C). One that cannot be used shows none: who trains on it is told.

    Args:
        source: Images with masks.
        ids: Which of them; the others are not read.
        cache: Whether what was read may be kept in the user's cache folder.
    """
    found: Flags = _read(source, ids, cache).shown_NC[ids]
    return found


def unusable_masks(source: Source, ids: Ids, cache: bool = True) -> list[DamagedImage]:
    """Those of some images whose masks cannot be read, have another size or values that are no class, and why.

    Args:
        source: As for `shown_classes`.
        ids: Likewise.
        cache: Likewise.
    """
    from fewer.data.decode.on_request import DamagedImage  # with torch, which a recipe is read without

    faults = _read(source, ids, cache).faults
    return [DamagedImage(id, source.names[id], faults[id]) for id in ids.tolist() if id in faults]


def strata_of(strata: Strata, cache: bool) -> Callable[[Source, Ids], Ids | None]:
    """What gives the class of each of some images by which they are drawn; None where masks do not decide it.

    Args:
        strata: "auto", or "none" to read no masks for it.
        cache: Whether what was read may be kept in the user's cache folder.
    """

    def found(source: Source, ids: Ids) -> Ids | None:
        if strata == "none" or source.annotations != "masks":
            return None
        return rarest_shown(shown_classes(source, ids, cache))

    return found


def rarest_shown(shown_MC: Flags) -> Ids:
    """The class of each image by which it is drawn: the one in it that fewest images show (M).

    Of an image that shows none it is the class that most show, as `rarest` has it of boxes.
    """
    images_C = shown_MC.sum(0)
    rank_C = np.empty(len(images_C), np.int64)
    rank_C[np.argsort(images_C, kind="stable")] = np.arange(len(images_C))
    best_M = np.where(shown_MC, rank_C, len(images_C) - 1).min(1)
    found: Ids = np.argsort(rank_C)[best_M]
    return found


def _read(source: Source, ids: Ids, cache: bool) -> _Masks:
    """What is known of a source's masks once some have been read, from the cache or from their files."""
    if source not in _READ:
        count, classes = len(source), len(source.classes)
        _READ[source] = _Masks(np.zeros(count, np.bool_), np.zeros((count, classes), np.bool_))
    masks = _READ[source]
    missing = np.unique(ids[~masks.known_N[ids]])
    if len(missing):
        shown, faults = _learnt(source, missing, cache)
        masks.shown_NC[missing] = shown[:, : len(source.classes)]
        masks.known_N[missing] = True
        masks.faults.update(faults)
    return masks


def _learnt(source: Source, ids: Ids, cache: bool) -> tuple[Flags, dict[int, str]]:
    """Which of 256 classes the mask of each of these ids shows, and why some cannot be used."""
    file = fingerprint.cache_file(source, "shown")
    key_N4, modified_N = _keys(source)
    known = fingerprint.read_pairs(file) if cache else fingerprint.no_words(0, 4)
    # 256 bits of a mask are two rows of the cache, each with a key of its own.
    row_2N = [fingerprint.rows_of(key_N4[:, columns], known[:, :2]) for columns in (slice(0, 2), slice(2, 4))]
    is_kept_N = (row_2N[0] >= 0) & (row_2N[1] >= 0) & (modified_N != fingerprint.NEVER)
    bits_N4, faults = fingerprint.no_words(len(source), 4), dict[int, str]()
    for half, row_N in enumerate(row_2N):
        bits_N4[is_kept_N, 2 * half : 2 * half + 2] = known[row_N[is_kept_N], 2:]
    missing, now_ns = ids[~is_kept_N[ids]], time.time_ns()
    with ThreadPoolExecutor(_THREADS) as pool:
        for id, found in zip(missing.tolist(), pool.map(lambda id: _bits(source, id), missing.tolist()), strict=True):
            if isinstance(found, str):
                faults[id] = found
                continue
            bits_N4[id] = found
            is_kept_N[id] = modified_N[id] < now_ns - fingerprint.SETTLED_NS
    if cache and len(missing):
        rows = [np.concatenate([each[is_kept_N, at : at + 2] for each in (key_N4, bits_N4)], 1) for at in (0, 2)]
        fingerprint.write_pairs(file, np.concatenate(rows).tobytes())
    shown = np.unpackbits(bits_N4[ids].view(np.uint8), axis=1, bitorder="little").astype(np.bool_)
    return shown, faults


def _keys(source: Source) -> tuple[fingerprint.Words, Ids]:
    """Two keys of two words for each mask, and when it was modified; `fingerprint.NEVER` where nothing may be kept."""
    key_N4, modified_N = fingerprint.no_words(len(source), 4), np.full(len(source), fingerprint.NEVER)
    meaning = source.mask_meaning()
    for id in range(len(source)):
        if stamp := source.mask_stamp(id):
            place, size, modified_N[id] = stamp
            text = f"{size}\0{stamp[2]}\0{place}".encode(errors="surrogateescape")
            key_N4[id] = np.frombuffer(hashlib.blake2b(meaning + text, digest_size=32).digest(), np.uint64)
    return key_N4, modified_N


def _bits(source: Source, id: int) -> fingerprint.Words | str:
    """A bit for each class that a mask shows; of one that cannot be used the reason."""
    try:
        mask_HW = source.read_mask(id)
    except DataError as error:
        return str(getattr(error, "reason", error))  # of a mask, whose place is told apart
    shown = np.zeros(VOID + 1, np.bool_)
    shown[mask_HW] = True
    shown[VOID] = False
    return np.packbits(shown, bitorder="little").view(np.uint64)
