"""Manifest of the data: every change is seen and named."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fewer.data.listing.manifest import Entries, Manifest, difference
from fewer.data.listing.splits import open_splits
from fewer.data.listing.string_array import Names
from sources import NAMES, folder, png


def test_the_fingerprint_sees_every_change_and_says_it(tmp_path: Path) -> None:
    root = folder(tmp_path / "f", {"a": 4, "b": 4})

    def now() -> tuple[str, list[str]]:
        splits = open_splits(f"folder:{root}", test="none", val="none")
        return splits.fingerprint, list(splits.manifest())

    first, lines = now()
    assert now() == (first, lines)
    assert difference(lines, lines) is None
    (root / "a" / "000.png").write_bytes(png(200))
    changed, changed_lines = now()
    assert difference(lines, changed_lines) == "1 with changed content (first: train a/000.png)"
    (root / "b" / "003.png").rename(root / "b" / "009.png")
    renamed, renamed_lines = now()
    said = difference(changed_lines, renamed_lines)
    assert said == "1 added (first: train b/009.png), 1 removed (first: train b/003.png)"
    assert len({first, changed, renamed}) == 3


def test_the_fingerprint_sees_labels_and_splits(tmp_path: Path) -> None:
    root = folder(tmp_path / "f", {"a": 4, "b": 4})
    lines = list(open_splits(f"folder:{root}", test="none", val="none").manifest())
    relabelled = [line.replace("\ta\t", "\tb\t") if i < 2 else line for i, line in enumerate(lines)]
    assert difference(lines, relabelled) == "2 with a changed label (first: train a/000.png)"
    cross = [line.replace("a/000", "a/0") for line in lines[:1]] + lines[2:]
    assert difference(lines, cross) == "1 added (first: train a/0.png), 2 removed (first: train a/000.png)"
    moved = list(open_splits(f"folder:{root}", test="25%", val="none").manifest())
    assert "2 moved to another split" in (difference(lines, moved) or "")


@given(seed=st.integers(0, 9), names=st.sets(NAMES, min_size=1, max_size=12))
def test_the_digest_is_that_of_the_sorted_lines(seed: int, names: set[str]) -> None:
    listed = Names(sorted(names))
    count = len(listed)
    random = np.random.default_rng(seed)
    content = [random.bytes(16) for _ in range(count)]
    part_N = random.integers(0, 3, count)
    entries = [
        Entries(
            part, np.flatnonzero(part_N == i), listed, np.arange(count), content, np.arange(count) % 2, ["a\t", "b"]
        )
        for i, part in enumerate(("train", "val", "test"))
    ]
    manifest = Manifest(entries)
    lines = list(manifest)
    assert len(lines) == count
    total = hashlib.blake2b(digest_size=16)
    for line in sorted(lines):
        assert line.isprintable() or line.replace("\t", "").isprintable()
        total.update(line.encode() + b"\n")
    assert manifest.digest() == total.hexdigest()
    assert gzip.decompress(manifest.packed()).decode().splitlines() == lines
    assert difference(manifest, Manifest(entries[::-1])) is None
