"""The validity cache: files that are known to be sound images, so that each is decoded only once to find out.

Kept in the user's cache folder by the hash of a file's content; a damaged file is always looked at again, for its
reason. Another version of a decoder may judge otherwise, so versions are part of the verdict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.metadata import version

from fewer.data.listing import fingerprint
from fewer.data.sources import Source


class ValidityCache:
    """What is known of the images of a source."""

    def __init__(self, source: Source, cache: bool) -> None:
        """Reads what earlier runs have found out.

        Args:
            source: Where the images come from.
            cache: Whether verdicts are kept in the user's cache folder; else nothing is known, and nothing kept.
        """
        self._file = fingerprint.cache_file(source, "sound") if cache else None
        self._hashes = fingerprint.hashes(source) if cache else []
        decoders = " ".join(version(name) for name in ("fewer", "pillow", "simplejpeg"))
        self._verdict = hashlib.blake2b(decoders.encode(), digest_size=16).digest()
        known = list(fingerprint.read_pairs(self._file)) if self._file else []
        self._sound = {row[:2].tobytes() for row in known if row[2:].tobytes() == self._verdict}

    def is_sound(self, id: int) -> bool:
        """Whether an image's very content was decoded without fault before."""
        return bool(self._file) and self._hashes[id] in self._sound

    def add(self, ids: Iterable[int]) -> None:
        """Notes that images were decoded without fault."""
        if self._file:
            self._sound |= {self._hashes[i] for i in ids}

    def save(self) -> None:
        """Keeps what is known for later runs."""
        if self._file:
            fingerprint.write_pairs(self._file, b"".join(content + self._verdict for content in sorted(self._sound)))
