"""Looks of images, hashes that survive small changes, and which images look alike by them.

A look is 128 bits of a 9 x 9 grey miniature: whether each value is larger than its neighbour on the left, and than the
one above (difference hash, Krawetz 2013, in both directions). Brightness, contrast, compression and scale hardly change
it. Two images look alike if at most `ALIKE_BITS` of their bits differ.

N: images. P: pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

ALIKE_BITS = 10  # of 128; beyond 12, photos of different things begin to be among the pairs (docs/adr/0054)
_FLAT = 8.0  # standard deviation of the miniature below which its bits are noise: a blank page looks like any other
_SIDE = 8
_BYTES = 2 * _SIDE * _SIDE // 8

Ids = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


def look_of(image: Image.Image) -> bytes:
    """The look of an image, 16 bytes; none for an image without contrast."""
    grey = image.convert("L").resize((_SIDE + 1, _SIDE + 1), Image.Resampling.BOX)
    values = np.asarray(grey, np.uint8)
    if values.std() < _FLAT:
        return b""
    right, down = values[:_SIDE, 1:] > values[:_SIDE, :-1], values[1:, :_SIDE] > values[:-1, :_SIDE]
    return np.packbits(np.stack([right, down])).tobytes()


def alike(looks: Sequence[bytes], within_bits: int = ALIKE_BITS) -> tuple[Ids, Ids]:
    """All pairs of images that look alike: exact, and not by comparing each with each.

    Among `within_bits` + 1 bands of bits, two looks that differ in at most `within_bits` have one in common. So only
    images that share a band are compared.

    Args:
        looks: The look of each image; images without one look like none (N).
        within_bits: How many bits may differ, 0 to 63.

    Returns:
        Positions of the pairs, the lesser ones and the others, int64 (P), sorted.
    """
    has = np.array([at for at, look in enumerate(looks) if look], np.int64)
    if len(has) < 2:
        return has[:0], has[:0]
    raw = np.frombuffer(b"".join(look for look in looks if look), np.uint8).reshape(len(has), _BYTES)
    words = np.ascontiguousarray(raw).view(np.uint64)
    bits = np.unpackbits(raw, axis=1)
    found = [_sharing(_band(band), words, within_bits) for band in np.array_split(bits, within_bits + 1, axis=1)]
    pairs = np.unique(np.concatenate(found), axis=0)
    return has[pairs[:, 0]], has[pairs[:, 1]]


def _band(bits: npt.NDArray[np.uint8]) -> Words:
    """The bits of each image as one number."""
    packed = np.zeros((len(bits), 16), np.uint8)
    some = np.packbits(bits, axis=1)
    packed[:, : some.shape[1]] = some
    # Beyond 64 bits a band is folded: that may compare more images, never fewer.
    halves: Words = packed.view(np.uint64)
    return halves[:, 0] ^ (halves[:, 1] * np.uint64(0x9E3779B97F4A7C15))


def _sharing(band: Words, words: Words, within_bits: int) -> Ids:
    """Pairs of equal bands that are close (P, 2): neighbours in sorted order, then those at distance two, and so on."""
    order = np.argsort(band, kind="stable")
    band, words = band[order], words[order]
    start, distance, found = np.arange(len(band) - 1), 1, [np.empty((0, 2), np.int64)]
    while len(start):
        start = start[band[start] == band[start + distance]]
        apart = np.bitwise_count(words[start] ^ words[start + distance]).sum(1)
        close = start[apart <= within_bits]
        found.append(np.sort(np.stack([order[close], order[close + distance]], axis=1), axis=1))
        distance += 1
        start = start[start + distance < len(band)]
    return np.concatenate(found)


def groups_of(count: int, one: Ids, other: Ids) -> Ids:
    """The group of each of `count` images: those that pairs connect, also by way of others (N)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    links = coo_matrix((np.ones(len(one), np.int8), (one, other)), shape=(count, count))
    group_N: Ids = connected_components(links, directed=False)[1].astype(np.int64)
    return group_N
