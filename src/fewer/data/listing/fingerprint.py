"""Content hashes of a source's images, remembered in the user's cache folder.

Each is kept under the place, size and modification time of its bytes. The cache is never trusted: what is not exactly
as written here is ignored and built again. N: all ids of the source. K: entries of the cache.
"""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt

from fewer.core.errors import DataError
from fewer.data.cache import cache_folder, keep
from fewer.data.listing.string_array import Buffered
from fewer.data.sources import Source

Words = npt.NDArray[np.uint64]

_MAGIC = b"fewer content hashes 1\n"
_BYTES = 16  # of a content hash and of a stamp's
SETTLED_NS = 2_000_000_000  # a file this young may change again without its time stamp showing it
NEVER = np.iinfo(np.int64).max
_THREADS = 4  # hashing waits for the disk
_CHUNK = 256


@final
class Hashes(Buffered[bytes]):
    """Hashes by id, in one buffer."""

    def __init__(self, words_N2: Words) -> None:
        self._buffer = words_N2.tobytes()

    def __len__(self) -> int:
        return len(self._buffer) // _BYTES

    def _value(self, index: int) -> bytes:
        return self._buffer[index * _BYTES : (index + 1) * _BYTES]


def hashes(source: Source, cache: bool = True, ids: npt.NDArray[np.int64] | None = None) -> Hashes:
    """Content hash (blake2b, 16 bytes) of the images of a source, by id.

    Args:
        source: The images.
        cache: Whether hashes may be kept in the user's cache folder.
        ids: Which images; all if left out. The others are not read, and their hashes mean nothing.

    Raises:
        DataError: An image cannot be read.
    """
    file = cache_file(source, "hashes")
    stamp_N2, modified_N = _stamps(source) if cache else (no_words(len(source)), np.full(len(source), NEVER))
    known = read_pairs(file) if cache else no_words(0, 4)
    row_N = np.where(modified_N == NEVER, -1, rows_of(stamp_N2, known[:, :2]))
    content_N2 = no_words(len(source))
    content_N2[row_N >= 0] = known[row_N[row_N >= 0], 2:]
    wanted_N = np.full(len(source), ids is None)
    wanted_N[[] if ids is None else ids] = True
    missing = np.flatnonzero((row_N < 0) & wanted_N)
    now_ns = time.time_ns()
    with ThreadPoolExecutor(_THREADS) as pool:
        chunks = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
        for chunk, found in zip(chunks, pool.map(lambda each: _hashed(source, each.tolist()), chunks), strict=True):
            content_N2[chunk] = np.frombuffer(found, np.uint64).reshape(-1, 2)
    if cache and len(missing):
        settled = (modified_N < now_ns - SETTLED_NS) & ((row_N >= 0) | wanted_N)
        write_pairs(file, np.concatenate([stamp_N2[settled], content_N2[settled]], axis=1).tobytes())
    return Hashes(content_N2)


def _hashed(source: Source, ids: list[int]) -> bytes:
    try:
        return b"".join(hashlib.blake2b(bytes(source.file(i)), digest_size=_BYTES).digest() for i in ids)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise DataError(f"{source.name}: {what}; fix: make the file readable") from error


def _stamps(source: Source) -> tuple[Words, npt.NDArray[np.int64]]:
    """A hash of every image's stamp, and when the image was modified; `NEVER` where it has no stamp."""
    buffer, modified_N = bytearray(len(source) * _BYTES), np.full(len(source), NEVER)
    for id in range(len(source)):
        if stamp := source.stamp(id):
            place, size, modified_N[id] = stamp
            text = f"{size}\0{stamp[2]}\0{place}".encode(errors="surrogateescape")
            buffer[id * _BYTES : (id + 1) * _BYTES] = hashlib.blake2b(text, digest_size=_BYTES).digest()
    return np.frombuffer(buffer, np.uint64).reshape(-1, 2), modified_N


def rows_of(wanted_N2: Words, known_K2: Words) -> npt.NDArray[np.int64]:
    """The row of each wanted hash among the known ones; -1 for what is not there."""
    if not len(known_K2):
        return np.full(len(wanted_N2), -1)
    order = np.argsort(known_K2[:, 0], kind="stable")
    at = np.searchsorted(known_K2[:, 0], wanted_N2[:, 0], sorter=order)
    row_N = order[at.clip(max=len(order) - 1)]
    # Of two that agree in their first half one is not found, and then hashed again.
    return np.where((known_K2[row_N] == wanted_N2).all(axis=1), row_N, -1)


def no_words(rows: int, columns: int = 2) -> Words:
    """Rows of words that are all 0."""
    return np.zeros((rows, columns), np.uint64)


def cache_file(source: Source, what: str) -> Path:
    """Where in the user's cache folder something about a source is kept."""
    place = hashlib.blake2b(source.location.encode(errors="surrogateescape"), digest_size=16).hexdigest()
    return cache_folder() / f"{place}.{what}"


def read_pairs(file: Path) -> Words:
    """Rows of a key and a value, two words each; none for a file that is missing, damaged or somebody else's."""
    try:
        data = file.read_bytes()
    except OSError:
        return no_words(0, 4)
    body, check = memoryview(data)[len(_MAGIC) : -_BYTES], data[-_BYTES:]
    if not data.startswith(_MAGIC) or len(body) % (2 * _BYTES) or _checked(body) != check:
        return no_words(0, 4)
    return np.frombuffer(body, np.uint64).reshape(-1, 4)


def write_pairs(file: Path, body: bytes) -> None:
    """Keeps rows for `read_pairs`."""
    keep(file, _MAGIC + body + _checked(body))


def _checked(body: bytes | memoryview) -> bytes:
    return hashlib.blake2b(body, digest_size=_BYTES).digest()
