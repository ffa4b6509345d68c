"""The layout of a store's file: pictures one after another, a row for each, a description, a footer.

Whoever opens a store trusts nothing in it: lengths, checksums of the rows, and those of a few pictures are compared.

N: all ids of the source.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Form = Literal["raw", "jpeg"]
Rows = npt.NDArray[Any]

MAGIC = b"fewer pictures 1\n".ljust(64, b"\0")
ROW = np.dtype(
    [(name, "<u8") for name in ("begin", "bytes")]
    + [(name, "<u4") for name in ("width", "height", "own_width", "own_height", "kind", "check")]
)
_FOOTER = struct.Struct("<QQ16s16s")  # bytes of rows and of the description, their hash, and what ends every store
_END = b"fewer pictures\n\0"


class Kind(IntEnum):
    """What a store holds for an image."""

    PIXELS = 0  # upright RGB, as the file decodes to, whatever is asked for
    NEW_PIXELS = 1  # upright RGB: made smaller, or of a JPEG, which is decoded at a fraction where a crop allows
    FILE = 2  # the JPEG itself
    NEW_JPEG = 3  # a JPEG made of what was made smaller
    DAMAGED = 4  # the reason why it cannot be decoded


NEW = (Kind.NEW_PIXELS, Kind.NEW_JPEG)


@dataclass(frozen=True, slots=True)
class Description:
    """What a store is of.

    Attributes:
        source: The source's name when the store was built, for people.
        listing: Hash of the names and sizes of the source's images; compared before anything is read.
        content: Hash of their contents, of how they are decoded, and of the decoders' versions.
        side_px: The most pixels that a shorter side has.
        form: "raw" or "jpeg".
        images: How many.
        changes: Whether views differ from those of the files.
        largest_px: The longest shorter side of the images at their own size.
    """

    source: str
    listing: str
    content: str
    side_px: int
    form: Form
    images: int
    changes: bool
    largest_px: int


def checksum(payload: bytes | memoryview) -> int:
    """CRC-32 of what a row names."""
    return zlib.crc32(payload)


def tail(rows_N: Rows, description: Description) -> bytes:
    """What stands behind the pictures."""
    rows, words = rows_N.tobytes(), json.dumps(asdict(description)).encode()
    return rows + words + _FOOTER.pack(len(rows), len(words), _hash(rows + words), _END)


FOOTER_BYTES = _FOOTER.size


def read_tail(footer: bytes, data: Any, size: int) -> tuple[Rows, Description]:
    """Rows and description of a store.

    Args:
        footer: The last `FOOTER_BYTES` of the file.
        data: The file's bytes; slices of it are read.
        size: How many.

    Raises:
        ValueError: With a phrase for the user: the file is no store, or not a whole one.
    """
    if len(footer) < _FOOTER.size or bytes(data[: len(MAGIC)]) != MAGIC:
        raise ValueError("it is no store of pictures")
    rows_bytes, words_bytes, check, end = _FOOTER.unpack(footer)
    begin = size - _FOOTER.size - rows_bytes - words_bytes
    if end != _END or begin < len(MAGIC):
        raise ValueError("it is cut off")
    body = bytes(data[begin : size - _FOOTER.size])
    if _hash(body) != check or rows_bytes % ROW.itemsize:
        raise ValueError("its index is damaged")
    rows_N = np.frombuffer(body[:rows_bytes], ROW)
    description = Description(**json.loads(body[rows_bytes:]))
    is_inside = (
        (rows_N["begin"] >= len(MAGIC)) & (rows_N["bytes"] <= begin) & (rows_N["begin"] + rows_N["bytes"] <= begin)
    )
    is_pixels = rows_N["kind"] <= Kind.NEW_PIXELS
    fits = rows_N["bytes"] == rows_N["width"].astype(np.uint64) * rows_N["height"] * 3
    if len(rows_N) != description.images or not is_inside.all() or not (fits | ~is_pixels).all():
        raise ValueError("its index is damaged")
    return rows_N, description


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
