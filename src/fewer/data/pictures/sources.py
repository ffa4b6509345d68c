"""Stores and the sources that they are of: by what they are found, and whether one suits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from fewer.core.errors import DataError
from fewer.data.cache import cache_folder
from fewer.data.decode.resize import Pixels
from fewer.data.decode.stored import Stored
from fewer.data.listing import fingerprint
from fewer.data.pictures.file import ENDING, PictureFile
from fewer.data.sources import Source


def stores_folder() -> Path:
    """Where stores lie that are found by themselves."""
    return cache_folder() / "stores"


def listing_key(source: Source) -> str:
    """Hash of the names and sizes of a source's images: cheap, no image is read."""
    found = hashlib.blake2b(source.sizes.tobytes(), digest_size=8)
    for name in source.names:
        found.update(name.encode(errors="surrogateescape") + b"\0")
    return found.hexdigest()


def content_key(source: Source, depth: int, cache: bool = True) -> str:
    """Hash of the contents of a source's images and of how they are decoded.

    Args:
        source: The images.
        depth: Bits that the values of 16-bit images have.
        cache: Whether content hashes may be kept in the user's cache folder.

    Raises:
        DataError: An image cannot be read.
    """
    found = hashlib.blake2b(f"{depth} {version('pillow')} {version('simplejpeg')}".encode(), digest_size=16)
    for content in fingerprint.hashes(source, cache):
        found.update(content)
    return found.hexdigest()


def default_path(source: Source, side_px: int) -> Path:
    """Where the store of a source lies unless the user says otherwise."""
    return stores_folder() / f"{listing_key(source)}-{side_px}{ENDING}"


def candidates(source: Source, place: Path) -> Iterator[Path]:
    """Files that may be stores of a source, smallest side first.

    Args:
        source: The images.
        place: A store, or a folder of stores.
    """
    if place.is_dir():
        found = [path for path in place.glob(f"{listing_key(source)}-*{ENDING}") if path.is_file()]
        yield from sorted(found, key=lambda path: (len(path.name), path.name))
    elif place.is_file():
        yield place


def require_same(store: PictureFile, source: Source, depth: int, cache: bool) -> None:
    """Refuses a store of other images.

    Raises:
        DataError: Names, sizes or contents have changed since, or the images are decoded in another way now.
    """
    of = store.description
    if of.listing != listing_key(source) or of.images != len(source):
        raise DataError(f"{store.path}: a store of other images (of {of.source}) than {source.name} has")
    if of.content != content_key(source, depth, cache):
        raise DataError(
            f"{store.path}: the store is stale: images of {source.name} have changed since it was built, or are "
            "decoded in another way"
        )


class StoredSource(Source):
    """A source whose images are read from a store."""

    def __init__(self, source: Source, store: PictureFile) -> None:
        """Nothing is read or listed again.

        Args:
            source: Where the images come from.
            store: Their store.
        """
        self.__dict__.update(source.__dict__)
        self._source, self._store = source, store

    def read(self, id: int) -> Stored:  # type: ignore[override]
        """What the store holds."""
        return self._store.read(id)

    def file(self, id: int) -> bytes | Pixels:
        return self._source.file(id)

    def stamp(self, id: int) -> tuple[str, int, int] | None:
        return self._source.stamp(id)

    @property
    def location(self) -> str:
        return self._source.location
