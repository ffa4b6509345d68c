"""What masks show: read once, remembered as long as file and meaning stay, and never trusted otherwise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotated import dataset, mask, photo
from fewer.data.listing import presence
from fewer.data.listing.fingerprint import cache_file
from fewer.data.listing.presence import rarest_shown, shown_classes, unusable_masks
from fewer.data.sources import open_source
from zoo import Files

NAMES = b"road\ncar\ncat\nvoid\n"
SHOWN = [(0,), (0, 1), (0, 2, 3), (3,), (1, 255)]
EXPECTED = [[1, 0, 0], [1, 1, 0], [1, 0, 1], [0, 0, 0], [0, 1, 0]]
OLD_NS = 1_600_000_000_000_000_000


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def masks(root: Path, names: bytes = NAMES, age_ns: int = OLD_NS) -> str:
    files: Files = {"classes.txt": names}
    for at, values in enumerate(SHOWN):
        row = np.resize(values, 12)
        files |= {f"images/{at}.jpg": photo(at, 12, 1), f"masks/{at}.png": mask([row])}
    place = dataset(root, files)
    for at in range(len(SHOWN)):
        os.utime(f"{place}/masks/{at}.png", ns=(age_ns, age_ns))
    return f"masks:{place}"


def all_of(source: Any, **options: Any) -> list[list[int]]:
    found: list[list[int]] = shown_classes(source, np.arange(len(source)), **options).astype(int).tolist()
    return found


def reads(source: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids whose masks are read from now on."""
    read, own = [], source.read_mask

    def counted(id: int) -> Any:
        read.append(id)
        return own(id)

    monkeypatch.setattr(source, "read_mask", counted)
    return read


def opened(text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[int]]:
    source = open_source(text)
    return source, reads(source, monkeypatch)


def test_each_mask_is_read_once_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = masks(tmp_path / "a")
    source, read = opened(text, monkeypatch)
    assert shown_classes(source, np.array([2, 0])).astype(int).tolist() == [EXPECTED[2], EXPECTED[0]]
    assert sorted(read) == [0, 2], "no other"
    assert all_of(source) == EXPECTED
    assert sorted(read) == [0, 1, 2, 3, 4]
    again, read = opened(text, monkeypatch)
    assert all_of(again) == EXPECTED
    assert read == []
    plain, read = opened(text, monkeypatch)
    assert all_of(plain, cache=False) == EXPECTED
    assert sorted(read) == [0, 1, 2, 3, 4]


def test_what_is_new_or_means_something_else_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = masks(tmp_path / "a")
    all_of(open_source(text))
    dataset(tmp_path / "a", {"masks/0.png": mask([np.resize((1, 2), 12)])})
    os.utime(tmp_path / "a" / "masks" / "0.png", ns=(OLD_NS + 1, OLD_NS + 1))
    source, read = opened(text, monkeypatch)
    assert all_of(source) == [[0, 1, 1], *EXPECTED[1:]]
    assert read == [0]
    dataset(tmp_path / "a", {"classes.txt": b"void\ncar\ncat\nroad\n"})
    source, read = opened(text, monkeypatch)
    assert all_of(source)[1:4] == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert sorted(read) == [0, 1, 2, 3, 4]


def test_a_young_or_faulty_mask_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = masks(tmp_path / "young", age_ns=2**62)
    all_of(open_source(text))
    source, read = opened(text, monkeypatch)
    assert all_of(source) == EXPECTED
    assert len(read) == 5
    text = masks(tmp_path / "faulty")
    dataset(tmp_path / "faulty", {"masks/1.png": b"no image", "masks/2.png": mask([[200] * 12])})
    for _ in range(2):
        source, read = opened(text, monkeypatch)
        assert all_of(source) == [EXPECTED[0], [0, 0, 0], [0, 0, 0], *EXPECTED[3:]]
    assert {1, 2} <= {*read}


@pytest.mark.parametrize("damage", [b"", b"junk", b"cut"])
def test_a_damaged_cache_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes) -> None:
    text = masks(tmp_path / "a")
    all_of(open_source(text))
    file = cache_file(open_source(text), "shown")
    file.write_bytes(file.read_bytes()[:-3] if damage == b"cut" else damage)
    source, read = opened(text, monkeypatch)
    assert all_of(source) == EXPECTED
    assert len(read) == 5


def test_classes_of_another_numbering_are_those_of_that_numbering(tmp_path: Path) -> None:
    source: Any = open_source(masks(tmp_path / "a"))
    other = source.in_classes(["cat", "dog", "road", "car"], "test")
    assert all_of(other) == [[cat, 0, road, car] for road, car, cat in EXPECTED]
    assert all_of(source) == EXPECTED


def test_all_254_classes_have_a_bit(tmp_path: Path) -> None:
    names = "\n".join(f"c{at}" for at in range(254)).encode()
    ids = np.array([[0, 63, 64, 127, 128, 191, 192, 253]], np.uint8)
    files: Files = {"classes.txt": names, "images/0.png": mask(ids), "masks/0.png": mask(ids)}
    text = f"masks:{dataset(tmp_path / 'a', files)}"
    os.utime(tmp_path / "a" / "masks" / "0.png", ns=(OLD_NS, OLD_NS))
    for _ in range(2):
        found = shown_classes(open_source(text), np.array([0]))
        assert np.flatnonzero(found[0]).tolist() == ids[0].tolist()


def test_masks_that_cannot_be_used_are_told_with_the_reason_and_read_again(tmp_path: Path) -> None:
    text = masks(tmp_path / "a")
    (tmp_path / "a" / "masks" / "1.png").write_bytes(b"no image")
    (tmp_path / "a" / "masks" / "2.png").write_bytes(mask([[0, 0]]))
    (tmp_path / "a" / "masks" / "4.png").write_bytes(mask([np.resize((0, 77), 12)]))
    for _ in range(2):  # what cannot be used is not remembered
        found = unusable_masks(open_source(text), np.arange(5))
        assert [(image.id, image.name) for image in found] == [(at, f"images/{at}.jpg") for at in (1, 2, 4)]
        for image, reason in zip(found, ("cannot be read", "2x1 pixels, but its picture 12x1", "77"), strict=True):
            assert reason in image.reason
    assert [image.id for image in unusable_masks(open_source(text), np.array([0, 2]))] == [2]
    (tmp_path / "a" / "masks" / "1.png").write_bytes(mask([np.resize((1,), 12)]))
    assert [image.id for image in unusable_masks(open_source(text), np.arange(5))] == [2, 4]


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=12))
def test_an_image_is_drawn_by_the_class_in_it_that_fewest_show(rows: list[list[bool]]) -> None:
    shown_MC = np.array(rows)
    images_C, label_M = shown_MC.sum(0), rarest_shown(shown_MC)
    for shown_C, label in zip(shown_MC, label_M.tolist(), strict=True):
        of_own = images_C[shown_C]
        assert images_C[label] == (of_own.min() if len(of_own) else images_C.max())
        assert shown_C[label] or not shown_C.any()


def test_reading_is_the_modules_own(tmp_path: Path) -> None:
    """What one source object has read goes with it."""
    source = open_source(masks(tmp_path / "a"))
    all_of(source)
    assert source in presence._READ
    before = len(presence._READ)
    del source
    assert len(presence._READ) < before
