"""`idx:PATH`: the files of MNIST and Fashion-MNIST, gzipped or not; plain ones are mapped rather than read.

PATH is the folder that holds `train-images-idx3-ubyte` and its companions, or one file of images, whose labels lie
beside it. The format: two zero bytes, a type, the number of dimensions, each dimension as a big-endian 32-bit number,
then the values. Headers are untrusted: nothing is read or reserved that a file of that size cannot hold.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from fewer.core.errors import DataError
from fewer.data.decode.decode import Pixels
from fewer.data.listing.layout import Rows, tabled
from fewer.data.reading.source import Source

FORMS = ("idx:PATH",)

_STEMS = {"train": ("train",), "test": ("t10k", "test")}
_UBYTE = 8  # the only type of value that images and their labels come in
_INFLATION_MAX = 1032  # bytes that one byte of deflate can stand for, at the very most


class Idx(Source):
    """Images of idx files, listed as `train/00042`; classes are the labels' own numbers."""

    def __init__(self, name: str, path: str) -> None:
        found = _parts(name, Path(path).expanduser().absolute())
        self._images: list[Pixels] = []
        labels, rows = [], []
        for images_file, labels_file in found.values():
            images, label = _values(images_file, 3), _values(labels_file, 1)
            if len(images) != len(label):
                raise DataError(
                    f"{labels_file}: {len(label):,} labels, but {images_file.name} has {len(images):,} images; "
                    "fix: take both files from the same copy"
                )
            if images[:1].size == 0:
                raise DataError(f"{images_file}: there is no image of one pixel or more in it; fix: copy it again")
            self._images.append(images)
            labels.append(np.asarray(label))
        numbers, index = np.unique(np.concatenate(labels), return_inverse=True)
        start = 0
        for part, images in zip(found, self._images, strict=True):
            index_M = index[start : start + len(images)].astype(np.int64)
            rows.append(Rows(part, np.full(len(images), images[0].size), index_M))
            start += len(images)
        listed = tabled(name, rows, [str(number) for number in numbers.tolist()])
        super().__init__(name, listed)
        self._file, self._row = listed.columns[:, 1], listed.columns[:, 2]
        self._location = str(Path(path).expanduser().absolute())

    def read(self, id: int) -> Pixels:
        return np.array(self._images[self._file[id]][self._row[id]])

    @property
    def location(self) -> str:
        return self._location


def opened(text: str, place: str) -> Idx:
    return Idx(text, place)


def _parts(name: str, path: Path) -> dict[str, tuple[Path, Path]]:
    """Images and labels of each part; the part of a lone file is ""."""
    if os.path.isdir(path):
        files = {part: _pair(path, stems) for part, stems in _STEMS.items()}
        found = {part: pair for part, pair in files.items() if pair}
        if not found:
            raise DataError(
                f"{name}: {path} holds no idx files; allowed: train-images-idx3-ubyte and train-labels-idx1-ubyte "
                "(and t10k-...), also with .gz; fix: give the folder that holds them, or one file of images"
            )
        return found if "train" in found else {"": found["test"]}
    if not os.path.isfile(path):
        raise DataError(f"{name}: {path} does not exist; fix: check the path")
    beside = path.name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
    for labels in (path.with_name(beside), path.with_name(f"{beside}.gz")):
        if labels.is_file() and labels != path:
            return {"": (path, labels)}
    raise DataError(f"{name}: its labels are missing: {path.with_name(beside)}, also with .gz; fix: put them there")


def _pair(folder: Path, stems: tuple[str, ...]) -> tuple[Path, Path] | None:
    for stem in stems:
        images, labels = (_file(folder, f"{stem}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"))
        if images and labels:
            return images, labels
        if images or labels:
            there, lacking = ("images", "labels-idx1") if images else ("labels", "images-idx3")
            raise DataError(
                f"{folder}: there are {stem}-{there} but no {stem}-{lacking}-ubyte, also with .gz; fix: add that file"
            )
    return None


def _file(folder: Path, name: str) -> Path | None:
    """A file under any of the spellings that copies of MNIST have; plain before gzipped."""
    spellings = [name, name.replace("-idx", ".idx")]
    paths = [folder / f"{spelling}{ending}" for ending in ("", ".gz") for spelling in spellings]
    return next((path for path in paths if path.is_file()), None)


def _values(path: Path, dimensions: int) -> Pixels:
    """The values of an idx file, of so many dimensions."""
    try:
        if path.suffix == ".gz":
            return _unpacked(path, dimensions)
        with path.open("rb") as file:
            shape = _shape(path, file.read(4 + 4 * dimensions), dimensions)
        held, stated = path.stat().st_size - 4 - 4 * dimensions, math.prod(shape)
        if held != stated:
            raise _sizes(path, shape, f"the file holds {held:,}")
        return np.memmap(path, np.uint8, "r", 4 + 4 * dimensions, shape) if stated else np.empty(shape, np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}; fix: copy it again") from error


def _unpacked(path: Path, dimensions: int) -> Pixels:
    """A gzipped file, unpacked as far as its header says and not a byte further."""
    try:
        with gzip.open(path) as file:
            shape = _shape(path, file.read(4 + 4 * dimensions), dimensions)
            stated = math.prod(shape)
            if stated > _INFLATION_MAX * path.stat().st_size:
                raise _sizes(path, shape, f"{path.stat().st_size:,} bytes of gzip cannot hold as many")
            values = np.empty(stated, np.uint8)
            held = 0
            while held < stated and (count := file.readinto(memoryview(values)[held:])):  # type: ignore[arg-type]
                held += count
            if held < stated or file.read(1):
                raise _sizes(path, shape, f"the file holds {'more' if held == stated else f'{held:,}'}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip file is damaged: {error}; fix: download it again") from error
    return values.reshape(shape)


def _shape(path: Path, header: bytes, dimensions: int) -> tuple[int, ...]:
    expected = bytes((0, 0, _UBYTE, dimensions))
    if header[:4] != expected or len(header) < 4 + 4 * dimensions:
        what = {1: "labels (idx1)", 3: "images (idx3)"}[dimensions]
        raise DataError(
            f"{path}: no idx file of {what}: it begins with {header[:4].hex(' ') or 'nothing'}; allowed: "
            f"{expected.hex(' ')} and {dimensions} dimensions; fix: check which file this is, or download it again"
        )
    return struct.unpack(f">{dimensions}I", header[4:])


def _sizes(path: Path, shape: tuple[int, ...], what: str) -> DataError:
    stated = " x ".join(f"{size:,}" for size in shape)
    return DataError(f"{path}: the header states {stated} values, but {what}; fix: download the file again")
