"""Sources for tests: class folders and tars of tiny images, and the messages of those that are refused."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import strategies as st
from PIL import Image

from fewer.core.errors import DataError
from fewer.data.listing.fingerprint import hashes as hashes_of
from fewer.data.listing.splits import Splits, open_splits
from fewer.data.sources import Source, open_source


def png(value: int, side_px: int = 4) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side_px, side_px), (value % 256, value * 7 % 256, 3)).save(out, "PNG")
    return out.getvalue()


def folder(root: Path, counts: dict[str, int]) -> Path:
    """Class folders with so many images each, old enough for their hashes to be cached."""
    for number, (path, count) in enumerate(counts.items()):
        (root / path).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            file = root / path / f"{i:03d}.png"
            file.write_bytes(png(number * 50 + i))
            os.utime(file, (1e9, 1e9))
    return root


def packed(tar: Path, root: Path, format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(tar, "w", format=format) as out:
        out.add(root, arcname=".")
    os.utime(tar, (1e9, 1e9))
    return tar


def tar_of(tar: Path, *members: tarfile.TarInfo) -> str:
    with tarfile.open(tar, "w") as out:
        for member in members:
            member.size = len(png(1)) if member.isreg() else 0
            out.addfile(member, io.BytesIO(png(1)))
    return f"tar:{tar}"


def member(name: str, type: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type, target
    return info


def refusal(*args: str, **more: str) -> str:
    with pytest.raises(DataError) as caught:
        open_splits(*args, **more)
    assert "fix:" in str(caught.value)
    return str(caught.value)


def hashes(source: Source, cache: bool = True) -> list[bytes]:
    return list(hashes_of(source, cache))


def contents(source: Source) -> list[bytes]:
    return [bytes(source.read(i)) for i in range(len(source))]


NAMES = st.text(st.characters(exclude_characters="/", exclude_categories=()), min_size=1, max_size=6)


def sizes(splits: Splits) -> tuple[int, int, int]:
    return len(splits.train), len(splits.val or ()), len(splits.test or ())


def source_refusal(text: str) -> str:
    with pytest.raises(DataError) as caught:
        open_source(text)
    assert "fix:" in str(caught.value)
    return str(caught.value)
