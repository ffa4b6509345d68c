"""The building of a store: whole, resumed, limited, and never half."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from PIL import Image

from fewer.core.errors import RecipeError, ResourceError
from fewer.data.decode.decode import Damaged, decode_whole
from fewer.data.pictures import build as building
from fewer.data.pictures.build import Order, build
from fewer.data.pictures.layout import Kind
from fewer.data.pictures.picture import kept
from fewer.data.sources import Source, open_source
from image_files import encoded, noise, write_images, write_photo


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """24 JPEGs and PNGs of 14 to 43 px, a large photo that lies on its side, and a file that is damaged."""
    root = write_images(tmp_path / "images")
    write_photo(root / "a" / "photo.jpg", 320, 200, orientation=6)
    (root / "b" / "torn.jpg").write_bytes(encoded(Image.fromarray(noise(40, 40, 3)), "JPEG")[:1000])
    return open_source(f"folder:{root}")


@pytest.mark.parametrize("form", ["raw", "jpeg"])
def test_pictures_are_upright_and_no_larger_than_asked(source: Source, tmp_path: Path, form: str) -> None:
    store, decoded = build(Order(source, 32, tmp_path / "s.pictures", form))
    assert decoded == len(store) == len(source) == 26
    assert store.damaged() == 1
    assert (store.description.form, store.description.changes, store.description.largest_px) == (form, True, 200)
    for id, name in enumerate(source.names):
        if name.endswith("torn.jpg"):
            with pytest.raises(Damaged, match="truncated"):
                store.read(id)
            continue
        stored, whole = store.read(id), decode_whole(source.read(id))
        assert (stored.width, stored.height) == (whole.width, whole.height)
        picture = decode_whole(stored).picture
        short = min(whole.width, whole.height)
        assert min(picture.shape[:2]) == min(short, 32)
        if name.endswith("photo.jpg"):
            assert picture.shape == (51, 32, 3)
        if short <= 32 and form == "raw":
            assert np.array_equal(picture, whole.picture)
        if short <= 32 and form == "jpeg" and source.read(id)[:2] == b"\xff\xd8":
            assert stored.content == source.read(id)


def test_what_is_there_is_not_built_again_and_what_has_changed_is(source: Source, tmp_path: Path) -> None:
    order = Order(source, 32, tmp_path / "s.pictures")
    build(order)
    before = order.path.read_bytes()
    assert build(order)[1] == 0
    assert order.path.read_bytes() == before
    order.path.write_bytes(before[:-1])
    assert build(order)[1] == 26
    assert order.path.read_bytes() == before
    assert build(Order(source, 24, order.path))[1] == 26
    assert [file.name for file in tmp_path.glob("s.pictures*")] == ["s.pictures"], "nothing is left over"


def test_another_file_stays(source: Source, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(RecipeError, match=r"notes\.txt: is a file already, and no store of pictures"):
        build(Order(source, 32, tmp_path / "notes.txt"))
    assert (tmp_path / "notes.txt").read_text() == "precious"


def test_a_picture_longer_than_any_jpeg_is_kept_as_pixels() -> None:
    strip = encoded(Image.new("RGB", (66_000, 20), (9, 8, 7)), "PNG")
    found = kept(strip, 32, "jpeg", 16)
    assert (found.kind, found.width, found.height) == (Kind.PIXELS, 66_000, 20)


def test_a_full_disk_loses_nothing(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_WAVE", 5)
    flush, calls = building._flush, []

    def full(file: object) -> None:
        calls.append(file)
        if len(calls) == 5:  # pictures, rows, pictures, rows, and no room for the pictures of the third wave
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(file)  # type: ignore[arg-type]

    order = Order(source, 32, tmp_path / "s.pictures")
    monkeypatch.setattr(building, "_flush", full)
    with pytest.raises(ResourceError, match="the disk is full; what is done is kept") as caught:
        build(order)
    assert caught.value.exit_code == 6
    assert not order.path.exists()
    monkeypatch.setattr(building, "_flush", flush)
    store, decoded = build(order)
    assert decoded == 16
    _equal_to_one_built_at_once(store.path, source, tmp_path)


def test_killed_it_goes_on_where_it_stopped(source: Source, tmp_path: Path) -> None:
    path = tmp_path / "s.pictures"
    code = f"""if True:
        import os, signal, pathlib
        from fewer.data.pictures import build as building
        from fewer.data.sources import open_source
        building._WAVE = 4
        def kill(done, total):
            if done == 12:
                os.kill(os.getpid(), signal.SIGKILL)
        building.build(building.Order(open_source({source.name!r}), 48, pathlib.Path({str(path)!r})), kill)
    """
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert not path.exists()
    store, decoded = build(Order(source, 48, path))
    assert decoded == 26 - 12
    _equal_to_one_built_at_once(store.path, source, tmp_path, 48)


def _equal_to_one_built_at_once(path: Path, source: Source, tmp_path: Path, side_px: int = 32) -> None:
    whole, _ = build(Order(source, side_px, tmp_path / "whole.pictures"))
    assert path.read_bytes() == whole.path.read_bytes()


def test_a_limit_chooses_the_form_or_refuses(source: Source, tmp_path: Path) -> None:
    order = Order(source, 48, tmp_path / "s.pictures", max_bytes=70_000)
    store, _ = build(order)
    assert store.description.form == "jpeg"
    assert store.path.stat().st_size < 70_000
    with pytest.raises(ResourceError, match=r"needs about .* MB as raw, and --max-size allows 0\.1 MB; fix"):
        build(Order(source, 48, tmp_path / "t.pictures", "raw", max_bytes=70_000))
    with pytest.raises(ResourceError, match=r"needs about .* as jpeg"):
        build(Order(source, 48, tmp_path / "t.pictures", max_bytes=7_000))
    assert not list(tmp_path.glob("t.pictures"))


def test_two_do_not_build_the_same_store(source: Source, tmp_path: Path) -> None:
    order = Order(source, 32, tmp_path / "s.pictures")

    def second(done: int, total: int) -> None:
        with pytest.raises(ResourceError, match="another process builds this store"):
            build(order)

    assert build(order, second)[1] == 26


def test_a_build_leaves_another_of_its_path_alone(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "_WAVE", 13)
    order, other = Order(source, 32, tmp_path / "s.pictures"), Order(source, 24, tmp_path / "s.pictures")
    for name in ("s.pictures.0123-8-raw.part", "s.pictures.0123-8-raw.rows", "s.pictures.4567-8-jpeg.part"):
        (tmp_path / name).touch()  # of builds that were stopped

    def second(done: int, total: int) -> None:
        if done == 13:
            assert build(other)[1] == 26

    store, decoded = build(order, second)
    assert (decoded, store.description.side_px) == (26, 32)
    assert [file.name for file in tmp_path.glob("s.pictures*")] == ["s.pictures"]


def test_rows_that_another_has_removed_meanwhile_are_not_written(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order(source, 32, tmp_path / "s.pictures")
    lock = building.lock_alone

    def late(rows: IO[bytes]) -> bool:
        monkeypatch.setattr(building, "lock_alone", lock)
        build(order)
        return lock(rows)

    monkeypatch.setattr(building, "lock_alone", late)
    with pytest.raises(ResourceError, match="another process builds this store"):
        build(order)
    assert len(building.PictureFile(order.path)) == 26
