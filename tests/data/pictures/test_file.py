"""An open store: verified, and no heavier for more images."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewer.core.errors import DataError
from fewer.data.pictures import file as opening
from fewer.data.pictures.build import Order, build
from fewer.data.pictures.file import PictureFile
from fewer.data.sources import open_source
from image_files import noise, write_images


@pytest.fixture
def path(tmp_path: Path) -> Path:
    source = open_source(f"folder:{write_images(tmp_path / 'images', 12)}")
    return build(Order(source, 32, tmp_path / "s.pictures"))[0].path


@pytest.mark.parametrize("keep", [0, 10, 0.3, 0.9, -1])
def test_a_store_that_is_cut_off_is_refused(path: Path, keep: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(len(whole) * keep)])
    with pytest.raises(DataError, match=r"s\.pictures: the store cannot be used: it is .*fix: remove it, and build"):
        PictureFile(path)


@pytest.mark.parametrize(("place", "what"), [(100, "pictures in it"), (-500, "index"), (-30, "index"), (-3, "cut off")])
def test_a_store_with_other_bytes_is_refused(path: Path, place: int, what: str) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=what):
        PictureFile(path)


def test_what_is_no_store_is_refused(path: Path) -> None:
    path.write_bytes(b"a recipe, perhaps" * 20)
    with pytest.raises(DataError, match="it is no store of pictures"):
        PictureFile(path)
    with pytest.raises(DataError, match="cannot be read"):
        PictureFile(path.parent)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures by /proc")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a mapped file are a process's memory for as long as it holds them: 3 MB and 48 MB of pictures."""
    monkeypatch.setattr(opening, "_HELD_BYTES", 2 << 20)
    grown = []
    for images in (16, 256):
        for number in range(images):
            file = tmp_path / str(images) / "ab"[number % 2] / f"{number}.bmp"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(250, 250, 3, seed=number)).save(file)
        source = open_source(f"folder:{tmp_path / str(images)}")
        store, _ = build(Order(source, 256, tmp_path / f"{images}.pictures"))
        assert store.path.stat().st_size > images * 180_000
        gc.collect()
        before, most = _mapped_bytes(), 0
        for id in range(images):
            assert int(np.asarray(store.read(id).content).sum()) > 0
            most = max(most, _mapped_bytes() - before)
        grown.append(most)
    assert max(grown) < 8 << 20


def _mapped_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssFile"))
