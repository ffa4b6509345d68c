"""A picture out of a store: decoded before, and perhaps made smaller."""

from __future__ import annotations

from typing import NamedTuple

from fewer.data.decode.resize import Pixels


class Stored(NamedTuple):
    """What a store of pictures gives in place of a file's bytes.

    Attributes:
        content: The bytes of a JPEG, or the upright RGB pixels, uint8 (height, width, 3).
        width, height: Of the upright picture at its own size.
        is_exact: The pixels are those that the file itself decodes to, whatever is asked for.
    """

    content: bytes | Pixels
    width: int
    height: int
    is_exact: bool


Raw = bytes | Pixels | Stored
"""What a source gives for an image: the file's bytes, the pixels themselves, or what is stored in place of them."""
