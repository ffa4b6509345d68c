"""Images from object storage: brought to the cache folder once, verified, and read there ever after.

What is there already is told by the entity tags of the last time. So a second start sends a listing only, new images
are added, and an interrupted transfer goes on.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from fewer.core.errors import DataError, ResourceError
from fewer.data.cache import cache_folder
from fewer.data.listing.layout import is_image
from fewer.data.reading.download import alone_in
from fewer.runs.record import publishing, read_object, write_json, writing
from fewer.runs.remote.address import Address
from fewer.runs.remote.bar import transferring
from fewer.runs.remote.bucket import Absent, Bucket, Outage, Stat, require
from fewer.runs.remote.layout import is_path
from fewer.runs.remote.retry import Tries

_PIECE_BYTES = 16 << 20
_THREADS = 8
_RECORDED_EVERY_FILES = 200
_SPARE_BYTES = 256 << 20
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


def synced(address: Address) -> Path:
    """The folder, or the tar, on this machine that holds what lies at an address.

    Args:
        address: A folder of class folders, or a tar, which ends with `.tar`.

    Raises:
        RecipeError: The package that reaches object storage is missing.
        RemoteError: Storage cannot be reached or refuses, and nothing whole is here.
        DataError: There are no images, or what comes is not what is listed.
        ResourceError: The disk is full or cannot be written.
    """
    require(str(address))
    is_tar = address.prefix.endswith(".tar")
    above, _, name = address.prefix.rpartition("/")
    bucket = Bucket(Address(address.bucket, above) if is_tar else address)
    place = hashlib.sha256(f"{bucket.host} {address}".encode()).hexdigest()[:16]
    folder = cache_folder() / "s3" / f"{address.bucket}-{place}"
    with alone_in(folder):
        mirror = _Mirror(folder, bucket, address)
        try:
            there = {name: Tries()(lambda: bucket.stat(name))} if is_tar else _images(address, Tries()(bucket.stats))
        except Absent:
            raise DataError(f"{address}: no such object; fix: check the address") from None
        except Outage as error:
            if not mirror.is_whole:
                raise
            print(f"{error}; what was fetched from there earlier is used", file=sys.stderr)
        else:
            mirror.bring(there)
    return mirror.files / name if is_tar else mirror.files


def _images(address: Address, listed: dict[str, Stat]) -> dict[str, Stat]:
    found = {key: stat for key, stat in listed.items() if is_path(key) and is_image(key)}
    if not found:
        what = f"{len(listed):,} objects, none of them an image" if listed else "nothing lies there"
        raise DataError(f"{address}: {what}; allowed: a prefix of class folders, or a tar; fix: check the address")
    return found


class _Mirror:
    """What of an address is on this machine.

    Attributes:
        files: The folder with the files.
        is_whole: Whether all of it has been fetched once.
    """

    def __init__(self, folder: Path, bucket: Bucket, address: Address) -> None:
        self.files = folder / "files"
        self._bucket, self._address = bucket, address
        self._record = folder / "synced.json"
        found: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            found = read_object(self._record)
        self.is_whole = found.get("whole") is True
        entries = found.get("files")
        self._here: dict[str, list[Any]] = entries if isinstance(entries, dict) else {}

    def bring(self, there: dict[str, Stat]) -> None:
        """Fetches what is missing or other, and removes what is gone."""
        gone = self._here.keys() - there.keys()
        for key in gone:
            if is_path(key):
                self._remove(key)
            del self._here[key]
        missing = {key: stat for key, stat in there.items() if not self._has(key, stat)}
        if missing:
            self._require_space(sum(stat.size_bytes for stat in missing.values()))
            try:
                self._fetch_all(missing)
            finally:
                self._keep(whole=False)
        if missing or gone or not self.is_whole:
            self._keep(whole=True)

    def _remove(self, key: str) -> None:
        """Removes a file, and the folders that are empty without it: a class without images is none."""
        (self.files / key).unlink(missing_ok=True)
        for folder in list(Path(key).parents)[:-1]:
            with suppress(OSError):  # other files lie there
                (self.files / folder).rmdir()

    def _fetch_all(self, missing: dict[str, Stat]) -> None:
        total, done = sum(stat.size_bytes for stat in missing.values()), 0
        what = f"{self._address}, {len(missing):,} file{'s' * (len(missing) > 1)}"
        pool = ThreadPoolExecutor(_THREADS)
        try:
            with transferring(what) as show:
                answers = pool.map(lambda item: self._fetch(*item), missing.items())
                for count, (key, stat) in enumerate(zip(missing, answers, strict=True), start=1):
                    self._here[key] = [stat.size_bytes, stat.tag]
                    done += stat.size_bytes
                    show(done, total)
                    if count % _RECORDED_EVERY_FILES == 0:
                        self._keep(whole=False)
        finally:
            pool.shutdown(cancel_futures=True)

    def _fetch(self, key: str, stat: Stat) -> Stat:
        """Writes one file, whole and verified.

        By its MD5, where the entity tag is one; where not (large or encrypted objects), by two readings that agree.
        """
        place, hashes = self.files / key, set()
        with writing(place):
            place.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(3):
            with publishing(place) as file:
                md5 = hashlib.md5(usedforsecurity=False)
                for piece in self._pieces(key, stat.size_bytes):
                    md5.update(piece)
                    file.write(piece)
                found = md5.hexdigest()
            said = _MD5.fullmatch(stat.tag)
            if (said and said[1] == found) or found in hashes:
                return stat
            hashes.add(found)
        place.unlink()
        raise DataError(f"{self._address}: {key} comes with other bytes each time; fix: check the network")

    def _pieces(self, key: str, size_bytes: int) -> Iterator[bytes]:
        for start in range(0, size_bytes, _PIECE_BYTES):
            length = min(_PIECE_BYTES, size_bytes - start)
            piece = Tries()(_reading(self._bucket, key, start, length))
            if len(piece) != length:
                raise DataError(f"{self._address}: {key} has changed meanwhile; fix: start again")
            yield piece

    def _has(self, key: str, stat: Stat) -> bool:
        if self._here.get(key) != [stat.size_bytes, stat.tag]:
            return False
        try:
            return (self.files / key).stat().st_size == stat.size_bytes
        except OSError:
            return False

    def _keep(self, whole: bool) -> None:
        self.is_whole = whole
        write_json(self._record, {"schema": 1, "place": str(self._address), "whole": whole, "files": self._here})

    def _require_space(self, needed_bytes: int) -> None:
        free = shutil.disk_usage(self._record.parent).free
        if free < needed_bytes + _SPARE_BYTES:
            raise ResourceError(
                f"{self._record.parent}: {free / 1e9:.1f} GB free, but {self._address} needs {needed_bytes / 1e9:.1f} "
                "GB more; free some space, or set XDG_CACHE_HOME to another disk"
            )


def _reading(bucket: Bucket, key: str, start: int, length: int) -> Callable[[], bytes]:
    return lambda: bucket.get_range(key, start, length)
