"""Findings of `fewer data check`: every kind of broken or odd file is found, and nothing else."""

from __future__ import annotations

import pytest

from zoo import damaged_files, odd_files


@pytest.mark.parametrize("name", damaged_files())
def test_a_damaged_file_is_found(codes: dict[str, set[str]], name: str) -> None:
    assert codes[f"train/cat/{name}"] == {damaged_files()[name][0]}


@pytest.mark.parametrize("name", odd_files())
def test_an_odd_file_is_found(codes: dict[str, set[str]], name: str) -> None:
    assert codes[f"train/dog/{name.replace(chr(7), chr(92) + 'x07')}"] == odd_files()[name][0]


def test_twins_and_lone_classes_are_found_and_nothing_else(codes: dict[str, set[str]]) -> None:
    assert codes["test/cat/leak.png"] == {"identical-across-splits"}
    assert codes["train/cat/twin.png"] == {"identical-within-split"}
    assert "train/cat/twin-again.png" not in codes, "the first of its kind"
    assert codes["train/dog/twin.png"] == {"identical-within-split", "identical-other-label"}
    assert codes["lone"] == {"single-image-class", "class-not-in-test"}
    sound = [path for path in codes if path.endswith(("/0.png", "/1.png", "/2.png"))]
    assert sound == []
