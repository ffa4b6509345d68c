"""Files of the cache folder: whole, or not there at all."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from fewer.data.cache import keep
from fewer.data.listing.fingerprint import write_pairs
from fewer.data.reading import cifar
from fewer.session import lr_cache


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: keep(folder / "a", b"content"),
        lambda folder: write_pairs(folder / "a", b"content"),
        lambda folder: lr_cache.write("a", {"seconds": 1.0}),
        lambda folder: cifar._keep(folder, {"a": b"content", "b": b"more"}),
    ],
    ids=["keep", "hashes", "lr_cache", "cifar"],
)
def test_what_cannot_be_written_leaves_nothing(
    write: Callable[[Path], None], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    own_cache.mkdir(parents=True, exist_ok=True)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        write(own_cache)
        assert not list(own_cache.iterdir())
    write(own_cache)
    assert list(own_cache.iterdir())
