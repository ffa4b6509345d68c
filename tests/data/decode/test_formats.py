"""Endings of images: those that are read, and those that are left out and said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewer.core.errors import DataError
from fewer.data.listing.files import files_of
from fewer.data.listing.left_out import LeftOut
from fewer.data.listing.splits import open_splits
from sources import folder, packed, png, refusal
from zoo import findings

READ = ("jfif", "JPE", "avif", "jp2", "dib", "pbm", "apng")
SAID = (
    "left out, being of formats that are not read: 2 .heic (first: {}a/0.heic), 1 .svg (first: {}b/0.svg); save them "
    "as JPEG or PNG"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes with files of every ending; listing goes by the ending, and so does the user's eye."""
    root = folder(tmp_path / "d", {"a": 4, "b": 4})
    for name in (*(f"a/0.{ending}" for ending in READ), "a/0.heic", "a/1.HEIC", "b/0.svg", "b/notes.txt", "b/svg"):
        (root / name).write_bytes(png(len(name)))
    return root


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_an_image_is_read_or_named(tmp_path: Path, root: Path, kind: str) -> None:
    text = f"folder:{root}" if kind == "folder" else f"tar:{packed(tmp_path / 'x.tar', root)}"
    splits = open_splits(text, test="none", val="none")
    assert len(splits.train) == 8 + len(READ)
    assert SAID.format("", "") in splits.notes
    found = [(each.path, each.reason) for each in findings(text) if each.code == "unread-format"]
    assert found == [("a/0.heic", "2 .heic files"), ("b/0.svg", "1 .svg files")]


def test_what_another_source_leaves_out_is_said_too(tmp_path: Path, root: Path) -> None:
    plain = folder(tmp_path / "plain", {"a": 4, "b": 4})
    splits = open_splits(f"folder:{plain}", test=f"folder:{root}", val="none")
    assert f"folder:{root}: {SAID.format('', '')}" in splits.notes


def test_a_class_of_nothing_else_is_refused_by_name(root: Path) -> None:
    (root / "c").mkdir()
    (root / "c" / "0.heic").write_bytes(b"x")
    message = refusal(f"folder:{root}")
    assert "c/" in message
    assert "3 .heic (first: a/0.heic)" in message


def test_predictions_of_a_folder_name_what_they_leave_out(tmp_path: Path, root: Path) -> None:
    left_out = LeftOut()
    assert len(list(files_of([root], left_out))) == 8 + len(READ)
    assert left_out.unread_note == SAID.format(f"{root}/", f"{root}/")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "0.heic").write_bytes(b"x")
    with pytest.raises(DataError, match=r"no images below this folder; left out, being of .*1 \.heic"):
        files_of([tmp_path / "new"])
