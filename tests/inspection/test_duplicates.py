"""Duplicates: which copy is the finding, and what the finding says."""

from __future__ import annotations

import pytest

from fewer.inspection.duplicates import duplicates
from fewer.inspection.inventory import Part
from fewer.inspection.probe import ImageFacts


def part(split: str, **label_of: str) -> Part:
    names = [f"{name}.png" for name in label_of]
    return Part(split, "s", names, list(label_of.values()), [1] * len(names), lambda _: b"")


def image(pixels: bytes, raw: bytes = b"", code: str = "") -> ImageFacts:
    return ImageFacts(code=code, pixels_hash=pixels, bytes_hash=raw)


def found(parts: list[Part], facts_of: list[list[ImageFacts]]) -> list[tuple[str, str, str, str]]:
    return [(f.code, f.split, f.path, f.reason) for f in duplicates(parts, facts_of)]


def test_the_copy_outside_of_training_is_the_finding_whatever_the_order_of_splits() -> None:
    parts = [part("test", a="cat"), part("train", b="cat")]
    assert found(parts, [[image(b"same")], [image(b"same")]]) == [
        ("identical-across-splits", "test", "a.png", "the same bytes as b.png (train)")
    ]


def test_of_three_copies_two_are_findings_each_beside_the_first() -> None:
    parts = [part("all", a="cat", b="dog", c="cat", d="cat")]
    facts = [image(b"same", b"1"), image(b"other", b"2"), image(b"same", b"1"), image(b"same", b"3")]
    assert found(parts, [facts]) == [
        ("identical-within-split", "all", "c.png", "the same bytes as a.png"),
        ("identical-within-split", "all", "d.png", "the same pixels as a.png"),
    ]


def test_another_label_is_a_finding_of_its_own() -> None:
    parts = [part("train", a="cat", b="dog")]
    codes = [code for code, *_ in found(parts, [[image(b"same"), image(b"same")]])]
    assert codes == ["identical-within-split", "identical-other-label"]
    *_, reason = found(parts, [[image(b"same"), image(b"same")]])[1]
    assert reason == "the same bytes as a.png (train), of class 'cat' there and 'dog' here"


@pytest.mark.parametrize("code", ["truncated", "empty-file"])
def test_images_that_do_not_decode_are_no_duplicates(code: str) -> None:
    assert found([part("train", a="cat", b="cat")], [[image(b"", code=code), image(b"", code=code)]]) == []


def test_images_that_look_alike_are_findings_beside_one_of_another_split_if_there_is_one() -> None:
    parts = [part("test", a="cat"), part("train", b="cat", c="dog", d="cat")]
    near = [bytes([first, *range(15)]) for first in (0b0, 0b1, 0b11)]
    facts = [ImageFacts(pixels_hash=bytes([i]), look=look) for i, look in enumerate([*near, b"\xff" * 16])]
    assert sorted(found(parts, [facts[:1], facts[1:]])) == [
        ("alike-across-splits", "test", "a.png", "much like b.png (train) and 1 more"),
        ("alike-within-split", "train", "c.png", "much like b.png (train), of class 'cat' there and 'dog' here"),
    ]


def test_equal_images_are_not_found_to_look_alike_as_well() -> None:
    facts = [ImageFacts(pixels_hash=b"same", bytes_hash=b"same", look=b"0123456789abcdef")] * 2
    assert [code for code, *_ in found([part("all", a="cat", b="cat")], [facts])] == ["identical-within-split"]
