"""Folders as sources: any name, links, and what is refused."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import torch

from fewer.data.listing.files import files_of
from fewer.data.listing.layout import arranged, grouped
from fewer.data.listing.splits import open_splits
from fewer.data.listing.strata import stratified
from fewer.data.sources import open_source
from sources import folder, packed, png, refusal


def test_names_outside_utf_8_are_read_and_hashed(tmp_path: Path) -> None:
    root = folder(tmp_path / "f", {"a": 1, "b": 1})
    (root / "a" / "000.png").rename(root / "a" / os.fsdecode(b"\xff\n\t.png"))
    tar = packed(tmp_path / "x.tar", root, tarfile.GNU_FORMAT)
    one, other = (open_splits(text, test="none", val="none") for text in (f"folder:{root}", f"tar:{tar}"))
    assert one.fingerprint == other.fingerprint
    assert all(len(line.split("\t")) == 5 and line.isascii() for line in one.manifest())


def test_links_in_folders_are_followed(tmp_path: Path) -> None:
    root = folder(tmp_path / "f", {"a": 1})
    (root / "b").mkdir()
    (root / "b" / "link.png").symlink_to(root / "a" / "000.png")
    (root / "c").symlink_to(folder(tmp_path / "elsewhere", {"c": 2}) / "c")
    assert list(open_source(f"folder:{root}").names) == ["a/000.png", "b/link.png", "c/000.png", "c/001.png"]
    (root / "a" / "up").symlink_to(root)
    assert "links back" in refusal(f"folder:{root}")


def test_folders_of_systems_and_of_runs_are_no_data(tmp_path: Path) -> None:
    junk = {"@eaDir/000.png": 1, "a/@eaDir/000.png": 1, "lost+found/x": 1, "$RECYCLE.BIN": 1, "runs/r/previews": 1}
    root = folder(tmp_path / "f", {"a": 2, "b": 2, **junk})
    (root / "runs" / "r" / "recipe.resolved.toml").touch()
    one, other = (open_source(text) for text in (f"folder:{root}", f"tar:{packed(tmp_path / 'x.tar', root)}"))
    assert list(one.names) == list(other.names) == ["a/000.png", "a/001.png", "b/000.png", "b/001.png"]
    assert (
        one.notes
        == other.notes
        == [
            "left out: 4 folders of a system or network drive (first: $RECYCLE.BIN/)",
            "left out: 1 folder of runs, which fewer train made (first: runs/r/)",
        ]
    )
    assert [file.path for file in files_of([root])] == [f"{root}/{name}" for name in one.names]
    begun = root / "runs" / "begun"
    (begun / "checkpoints").mkdir(parents=True)
    (begun / ".lock").touch()
    assert len(open_source(f"folder:{root}")) == 4, "of another rank, a moment before its recipe is written"


def test_ten_thousand_classes_of_any_name(tmp_path: Path) -> None:
    odd = ["<script>alert(1)", "😀🏳️‍🌈", "&amp;", '"quoted"', "\u202egnp", "tab\there", "new\nline", "x" * 200]
    files = {f"{name}/{i}.png": (1,) for name in odd for i in range(2)}
    files |= {f"class {number:05d}/{i}.png": (1,) for number in range(10_000) for i in range(2)}
    found = arranged("x", grouped(files), ())
    assert len(found.classes) == 10_008
    assert set(odd) <= set(found.classes)
    label_N = torch.from_numpy(found.labels)
    chosen = stratified(torch.arange(len(label_N)), label_N, 0.05, 0, "val")
    assert torch.equal(label_N[chosen], torch.arange(10_008)), "one of two images each"
    root = folder(tmp_path, dict.fromkeys(odd, 1))
    splits = open_splits(f"folder:{root}", test="none", val="none")
    assert all(line.isprintable() for text in splits.manifest() for line in text.split("\t"))


def test_bad_folders_and_texts(tmp_path: Path) -> None:
    assert "does not exist" in refusal(f"folder:{tmp_path / 'none'}")
    assert "No such file" in refusal(f"tar:{tmp_path / 'none.tar'}")
    assert "folder:PATH" in refusal(f"tar:{tmp_path}")
    assert "digits, folder:PATH" in refusal("imagenet")
    assert f"fix: folder:{tmp_path}" in refusal(str(tmp_path))
    assert "no images" in refusal(f"folder:{tmp_path}")
    root = folder(tmp_path / "f", {"a": 2, "b": 2})
    assert "is a file" in refusal(f"folder:{root / 'a' / '000.png'}")
    (root / "empty").mkdir()
    assert "class folder empty/ holds no images" in refusal(f"folder:{root}")
    (root / "empty").rmdir()
    (root / "x.png").write_bytes(png(1))
    assert "directly in the root (first: x.png)" in refusal(f"folder:{root}")
    (root / "x.png").unlink()
    os.mkfifo(root / "a" / "pipe.png")
    assert "no regular file" in refusal(f"folder:{root}")
    assert "directly in train/" in refusal(f"folder:{folder(tmp_path / 'g', {'train': 2})}")
    assert "no train/" in refusal(f"folder:{folder(tmp_path / 'h', {'val/a': 2, 'test/a': 2})}")
    for i, mixed in enumerate(({"x/train/a": 1, "x/test/a": 1, "y/b": 1}, {"x/train/a": 1, "x/val/a": 1, "b": 1})):
        assert "below other folders" in refusal(f"folder:{folder(tmp_path / f'mixed{i}', mixed)}")
    assert "directly in a/" in refusal(f"folder:{folder(tmp_path / 'nested', {'a': 1, 'a/b': 1})}")
    for share in ("0%", "100%", "250%"):
        assert share in refusal("digits", test=share)
