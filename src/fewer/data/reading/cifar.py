"""CIFAR-10 and CIFAR-100 as their authors publish them: a tar.gz of pickle files.

Address and hashes are those of torchvision. A folder with what torchvision has unpacked is taken as it is.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fewer.core.errors import DataError
from fewer.data.cache import cache_folder, keep
from fewer.data.decode.decode import Pixels
from fewer.data.listing.layout import arranged, grouped, is_image
from fewer.data.listing.tar import members
from fewer.data.reading.download import alone_in, fetch, md5_of
from fewer.data.reading.source import Source
from fewer.data.reading.unpickle import load

_SIDE_PX = 32
_VALUES = 3 * _SIDE_PX * _SIDE_PX
_UNPACKED_MAX = 1 << 29  # bytes; the real archives hold less than 200 MB
_CHUNK = 1 << 20


class Cifar(Source):
    """Images under the names that their authors gave them, such as `train/frog/leptodactylus_..._s_000004.png`.

    Args:
        name: The text that the user gave.
        folder: Where the archive is, or will be; the user's cache folder if "".
        published: torchvision's class: its `url`, `filename`, hashes and lists of files.
        label_key: What the labels are called in the files.
    """

    numbers_classes = True

    def __init__(self, name: str, folder: str, published: Any, label_key: str) -> None:
        self._folder = Path(folder).expanduser().absolute() if folder else cache_folder() / name
        content = _content(published, self._folder)
        meta = _entry(content, published.meta["filename"])
        classes = [_text(each) for each in _list(meta.get(published.meta["key"]), published.meta["filename"])]
        files: dict[str, tuple[int, int]] = {}
        images: list[Pixels] = []
        for part, listed in (("train", published.train_list), ("test", published.test_list)):
            for file, _ in listed:
                pixels, paths = _images(file, _entry(content, file), label_key, classes)
                names = [f"{part}/{path}" for path in paths]
                if len({*names} - files.keys()) < len(names):  # two of one name: their rows differ
                    names = [f"{name.rpartition('/')[0]}/{file}-{row:05d}.png" for row, name in enumerate(names)]
                files |= {name: (_VALUES, sum(map(len, images)) + row) for row, name in enumerate(names)}
                images.append(pixels)
        found = arranged(name, grouped(files), ())
        super().__init__(name, found)
        self._images, self._row = np.concatenate(images), found.columns[:, 1]

    def read(self, id: int) -> Pixels:
        planes = self._images[self._row[id]].reshape(3, _SIDE_PX, _SIDE_PX)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))

    @property
    def location(self) -> str:
        return str(self._folder)


def _content(published: Any, folder: Path) -> dict[str, bytes]:
    """The files of the data set by name, each as its hash says: unpacked before, from the archive, or downloaded."""
    hashes = dict([*published.train_list, *published.test_list, (published.meta["filename"], published.meta["md5"])])
    archive, unpacked = folder / published.filename, folder / published.base_folder
    with alone_in(folder):
        try:
            content = {name: (unpacked / name).read_bytes() for name in hashes}
            if all(_md5(content[name]) == md5 for name, md5 in hashes.items()):
                return content
        except OSError:
            pass  # not unpacked, or not all of it
        if not archive.is_file():
            fetch(published.url, archive, published.tgz_md5)
        elif md5_of(archive) != published.tgz_md5:
            raise DataError(
                f"{archive}: not the published file: its md5 is not {published.tgz_md5}; "
                f"fix: remove it, so that it is downloaded again from {published.url}"
            )
        content = _unpacked(archive, published.base_folder, hashes)
        _keep(unpacked, content)
    return content


def _unpacked(archive: Path, base: str, hashes: dict[str, str]) -> dict[str, bytes]:
    """The wanted members of a tar.gz; nothing is extracted to where a member says."""
    with tempfile.TemporaryFile() as tar:
        size = 0
        for chunk in _inflated(archive):
            size += len(chunk)
            if size > _UNPACKED_MAX:
                raise DataError(f"{archive}: unpacks to more than {_UNPACKED_MAX:,} bytes; fix: download it again")
            tar.write(chunk)
        tar.flush()
        places = members(tar.fileno(), str(archive)).files
        content = {}
        for name, md5 in hashes.items():
            if f"{base}/{name}" not in places:
                raise DataError(f"{archive}: there is no {base}/{name} in it; fix: download it again")
            offset, size = places[f"{base}/{name}"]
            content[name] = os.pread(tar.fileno(), size, offset)
            if _md5(content[name]) != md5:
                raise DataError(f"{archive}: {base}/{name} is damaged: md5 is not {md5}; fix: download it again")
    return content


def _inflated(archive: Path) -> Iterator[bytes]:
    try:
        with gzip.open(archive) as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{archive}: the gzip file is damaged: {error}; fix: download it again") from error


def _keep(folder: Path, content: dict[str, bytes]) -> None:
    """Leaves the files as torchvision does; where that cannot be, the next start only takes longer."""
    for name, data in content.items():
        keep(folder / name, data)


def _entry(content: dict[str, bytes], file: str) -> dict[str, Any]:
    found = load(content[file], file)
    if not isinstance(found, dict):
        raise _misshapen(file)
    return found


def _images(file: str, entry: dict[str, Any], label_key: str, classes: list[str]) -> tuple[Pixels, list[str]]:
    """Pixels (images, 3 x 32 x 32) and path of each image below its part."""
    pixels, labels = entry.get("data"), _list(entry.get(label_key), file)
    names = [_text(each) for each in _list(entry.get("filenames"), file)]
    if not isinstance(pixels, np.ndarray) or pixels.shape != (len(labels), _VALUES) or len(names) != len(labels):
        raise _misshapen(file)
    if not all(isinstance(label, int) and 0 <= label < len(classes) for label in labels):
        raise _misshapen(file)
    if not all(is_image(name) and "/" not in name for name in names) or len({*names}) < len(names):
        names = [f"{file}-{row:05d}.png" for row in range(len(labels))]
    return pixels, [f"{classes[label]}/{name}" for label, name in zip(labels, names, strict=True)]


def _list(value: Any, file: str) -> list[Any]:
    if not isinstance(value, list):
        raise _misshapen(file)
    return value


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _misshapen(file: str) -> DataError:
    return DataError(f"{file}: not the layout of CIFAR's files; fix: download the data set again")
