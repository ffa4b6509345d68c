"""idx files as sources, plain and packed."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewer.data.listing.splits import open_splits
from fewer.data.sources import open_source
from sources import source_refusal


def idx(values: np.ndarray[Any, Any], stated: tuple[int, ...] | None = None, kind: int = 8) -> bytes:
    shape = stated or values.shape
    return bytes((0, 0, kind, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + values.tobytes()


def digits(count: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    images = np.random.default_rng(seed).integers(0, 256, (count, 5, 4), dtype=np.uint8)
    return images, (np.arange(count) * 7 % 12).astype(np.uint8)


def write_idx(folder: Path, stem: str, count: int, spelling: str = "-idx", packed: bool = False) -> None:
    folder.mkdir(exist_ok=True)
    for name, values in zip(("images-idx3", "labels-idx1"), digits(count, count), strict=True):
        content = idx(values)
        path = folder / f"{stem}-{name}-ubyte{'.gz' if packed else ''}".replace("-idx", spelling)
        path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("spelling", ["-idx", ".idx"])
def test_idx_files_are_read_as_written(tmp_path: Path, packed: bool, spelling: str) -> None:
    write_idx(tmp_path / "m", "train", 36, spelling, packed)
    write_idx(tmp_path / "m", "t10k", 12, spelling, packed)
    source = open_source(f"idx:{tmp_path / 'm'}")
    assert source.classes == [str(number) for number in range(12)], "by value, not by letters"
    assert list(source.names) == sorted(source.names)
    for part, count in (("train", 36), ("test", 12)):
        images, labels = digits(count, count)
        ids = source.parts[part]
        assert np.array_equal(np.stack([source.read(i) for i in ids.tolist()]), images)
        assert source.labels[ids].tolist() == labels.tolist()
        assert source.names[int(ids[3])] == f"{part}/03"
    assert source.native_side_px() == 4
    splits = open_splits(f"idx:{tmp_path / 'm'}")
    assert splits.test is not None
    assert (len(splits.test), len(splits.train)) == (12, 24), "one image of each of twelve classes validates"


def test_idx_takes_one_file_of_images_and_maps_plain_ones(tmp_path: Path) -> None:
    write_idx(tmp_path / "m", "t10k", 12)
    path = tmp_path / "m" / "t10k-images-idx3-ubyte"
    lone = open_source(f"idx:{path}")
    assert not lone.parts
    assert list(lone.names)[:2] == ["00", "01"]
    assert list(lone.names) == list(open_source(f"idx:{tmp_path / 'm'}").names), "a lone test set is no part"
    changed = bytearray(path.read_bytes())
    changed[16] ^= 1
    before = int(lone.read(0)[0, 0])
    with path.open("r+b") as file:
        file.write(changed)
    assert int(lone.read(0)[0, 0]) == before ^ 1, "mapped, not copied"


@pytest.mark.parametrize("packed", [False, True])
def test_hostile_idx_files_are_refused(tmp_path: Path, packed: bool) -> None:
    write_idx(tmp_path / "m", "train", 20)
    images, labels = digits(20, 20)
    ending = ".gz" if packed else ""
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        path = tmp_path / "m" / name
        content = path.read_bytes()
        path.unlink()
        path.with_name(name + ending).write_bytes(gzip.compress(content) if packed else content)
    path = tmp_path / "m" / f"train-images-idx3-ubyte{ending}"
    for bad, word in (
        (idx(images, kind=9), "begins with 00 00 09 03"),
        (idx(labels), "begins with 00 00 08 01"),
        (b"", "begins with nothing"),
        (idx(images)[:9], "begins with 00 00 08 03"),
        (idx(images)[:-1], "the file holds 399"),
        (idx(images) + b"x", "the file holds"),
        (idx(images, (1 << 31, 1 << 31, 1 << 31)), "2,147,483,648 x 2,147,483,648"),
        (idx(images, (10, 10, 4)), "20 labels, but"),
        (idx(images[:0]), "20 labels, but"),
    ):
        path.write_bytes(gzip.compress(bad) if packed else bad)
        message = source_refusal(f"idx:{tmp_path / 'm'}")
        assert word in message
    if packed:
        whole = gzip.compress(idx(images))
        for bad in (whole[:-9], whole[:30], b"\x1f\x8b", whole[:25] + b"\xff\xff" + whole[27:], b"plain"):
            path.write_bytes(bad)
            assert "train-images" in source_refusal(f"idx:{tmp_path / 'm'}")
        path.write_bytes(gzip.compress(idx(images) + bytes(50_000_000)))
        assert "the file holds more" in source_refusal(f"idx:{tmp_path / 'm'}"), "a bomb is not unpacked"


def test_missing_idx_files_are_named(tmp_path: Path) -> None:
    assert "does not exist" in source_refusal(f"idx:{tmp_path / 'none'}")
    assert "holds no idx files" in source_refusal(f"idx:{tmp_path}")
    write_idx(tmp_path / "m", "train", 12)
    (tmp_path / "m" / "train-labels-idx1-ubyte").unlink()
    assert "no train-labels-idx1-ubyte" in source_refusal(f"idx:{tmp_path / 'm'}")
    assert "labels are missing" in source_refusal(f"idx:{tmp_path / 'm' / 'train-images-idx3-ubyte'}")
