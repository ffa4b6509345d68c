"""Hashes of images and their cache, which is used but never trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fewer.data.sources import open_source
from sources import folder, hashes, packed, png


def test_the_cache_is_used_but_never_trusted(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path / "f", {"a": 4, "b": 4})
    tar = packed(tmp_path / "x.tar", root)
    for text in (f"folder:{root}", f"tar:{tar}"):
        source = open_source(text)
        truth = hashes(source, cache=False)
        assert not own_cache.exists() or len(list(own_cache.iterdir())) == 1
        assert hashes(source) == truth
        with monkeypatch.context() as patch:
            patch.setattr(type(source), "read", lambda *_: pytest.fail("read although cached"))
            assert hashes(open_source(text)) == truth
    for file in own_cache.iterdir():
        sound = file.read_bytes()
        for bad in (b"", sound[:-1], sound[:60] + b"\xff" + sound[61:], b"somebody else's"):
            file.write_bytes(bad)
            assert hashes(open_source(f"folder:{root}"), cache=True) == truth
    assert not [file for file in own_cache.iterdir() if file.name.startswith(".new")]


def test_a_cache_that_cannot_be_written_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "plain"))
    source = open_source(f"folder:{folder(tmp_path / 'f', {'a': 3})}")
    assert hashes(source) == hashes(source, cache=False)


def test_what_was_just_written_is_not_cached(tmp_path: Path) -> None:
    root = folder(tmp_path / "f", {"a": 1})
    file = root / "a" / "000.png"
    file.write_bytes(png(1))
    status = file.stat()
    before = hashes(open_source(f"folder:{root}"))
    file.write_bytes(png(2))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # as on a disk whose clock ticks slowly
    assert file.stat().st_size == status.st_size
    assert hashes(open_source(f"folder:{root}")) != before
