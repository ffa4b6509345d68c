"""Tars as sources: the same images as their folder."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from fewer.data.sources import open_source
from sources import contents, folder, packed


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_lists_and_reads_as_its_folder_does(tmp_path: Path, format: int) -> None:
    long = "a" * 60 + "/" + "b" * 80  # longer than a header's 100 bytes
    root = folder(tmp_path / "f", {"b": 3, "a": 2, f"deep/{long}": 2, "a-b": 1})
    (root / "a" / ".hidden.png").write_bytes(b"")
    (root / "a" / "notes.txt").write_text("no image")
    by_folder = open_source(f"folder:{root}")
    by_tar = open_source(f"tar:{packed(tmp_path / 'x.tar', root, format)}")
    assert list(by_tar.names) == list(by_folder.names) == sorted(by_folder.names)
    assert by_tar.classes == by_folder.classes == ["a", "a-b", "b", "deep"]
    assert by_tar.labels.tolist() == by_folder.labels.tolist()
    assert by_tar.sizes.tolist() == by_folder.sizes.tolist()
    assert contents(by_tar) == contents(by_folder)
