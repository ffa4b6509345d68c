"""Findings made from the facts of all images: file by file, then across files, then across classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from fewer.data.decode.depth import FULL, depth_for
from fewer.data.decode.formats import ENDINGS, ending_of
from fewer.inspection.annotation_findings import annotation_findings
from fewer.inspection.duplicates import duplicates
from fewer.inspection.findings import KINDS, Finding
from fewer.inspection.inventory import ALL, Inventory, Part
from fewer.inspection.probe import ImageFacts

TINY_PX = 8  # of the short side; below it no model of this package can learn anything
LONG = 4.0  # of the long side in short sides
UNEVEN = 8.0  # of the 95th percentile of short sides in 5th percentiles
_ENDINGS = {**ENDINGS, "MPO": ENDINGS["JPEG"]}
_MODES = {
    "1": "black and white", "L": "grey", "I": "grey", "I;16": "grey", "LA": "grey with transparency", "P": "palette",
    "PA": "palette with transparency", "RGBA": "with transparency", "RGBX": "with a fourth channel",
}  # fmt: skip


def check(inventory: Inventory, facts_of: list[list[ImageFacts]]) -> list[Finding]:
    """All findings, in the order of `KINDS`, then by split and path.

    Args:
        inventory: The images.
        facts_of: Their facts, part by part, as `scan` returns them.
    """
    found = list(inventory.findings)
    for part, facts in zip(inventory.parts, facts_of, strict=True):
        for name, each in zip(part.names, facts, strict=True):
            found += (Finding(code, part.split, name, reason, part.source) for code, reason in _of_file(name, each))
        found += _uneven(part, facts)
    found += _narrow(inventory.parts, facts_of)
    found += duplicates(inventory.parts, facts_of)
    found += annotation_findings(inventory.parts)
    found += _of_classes([part for part in inventory.parts if part.annotated is None])
    rank = {code: i for i, code in enumerate(KINDS)}
    splits = {"": 0, "train": 1, "val": 2, "test": 3, ALL: 1}
    return sorted(found, key=lambda f: (rank[f.code], splits[f.split], f.source, f.path))


def _of_file(name: str, facts: ImageFacts) -> Iterator[tuple[str, str]]:
    """Code and reason of every finding about one file."""
    if not name.isprintable() or any(part != part.strip() for part in name.split("/")):
        yield "odd-name", "control, invisible or undecodable characters, or blanks at an end"
    if facts.code:
        yield facts.code, facts.reason
        return
    short, long = sorted((facts.width_px, facts.height_px))
    size = f"{facts.width_px}x{facts.height_px} pixels"
    if short < TINY_PX and facts.format != "PIXELS":
        yield "tiny", size
    if long > LONG * short:
        yield "extreme-aspect", size
    if facts.frames:
        yield "animated", f"{facts.format} of several frames or pages"
    if facts.turned:
        yield "exif-rotated", "EXIF states an orientation"
    if facts.bits > 8:
        yield "16-bit", f"{facts.bits} bits a channel"
    if facts.remarks:
        yield "corrupt-metadata", facts.remarks
    if facts.mode == "CMYK":
        yield "cmyk", f"{facts.format} in CMYK"
    elif facts.mode != "RGB":
        yield "not-rgb", _MODES.get(facts.mode, facts.mode)
    ending = ending_of(name)
    if facts.format in _ENDINGS and ending not in _ENDINGS[facts.format]:
        yield "wrong-suffix", f"{facts.format} named .{ending}"


def _uneven(part: Part, facts: list[ImageFacts]) -> Iterator[Finding]:
    sides = [min(each.width_px, each.height_px) for each in facts if not each.code]
    if len(sides) < 20:
        return  # percentiles of a few sizes mean nothing
    low, high = np.percentile(sides, (5, 95))
    if high > UNEVEN * low:
        reason = f"short sides from {low:,.0f} px (5th percentile) to {high:,.0f} px (95th)"
        yield Finding("uneven-sizes", part.split, "", reason, part.source)


def _narrow(parts: list[Part], facts_of: list[list[ImageFacts]]) -> Iterator[Finding]:
    """A set whose 16-bit images use fewer bits, of which training decides by some and this by all."""
    deep = [(each.peak, at, i) for i, facts in enumerate(facts_of) for at, each in enumerate(facts) if each.peak]
    if not deep or depth_for(max(deep)[0]) == FULL:
        return
    peak, at, i = max(deep)
    reason = f"the largest value of {len(deep):,} images is {peak:,}, so they are read as {depth_for(peak)} bits"
    yield Finding("narrow-range", parts[i].split, parts[i].names[at], reason, parts[i].source)


def _of_classes(parts: list[Part]) -> Iterator[Finding]:
    counts = {split: Counter[str]() for split in ("train", "val", "test", ALL)}
    source = {part.split: part.source for part in parts}
    for part in parts:
        counts[part.split].update(part.labels)
    train = counts["train"] or counts[ALL]
    split = "train" if counts["train"] else ALL
    for name, count in train.items():
        if count == 1:
            yield Finding("single-image-class", split, name, "one image: nothing of it can be held out", source[split])
    for other in ("val", "test"):
        for name in counts[other].keys() - train.keys() if train else ():
            reason = f"{counts[other][name]:,} images in {other}, none in training"
            yield Finding("class-only-in-test", other, name, reason, source[other])
        for name in train.keys() - counts[other].keys() if counts[other] else ():
            yield Finding("class-not-in-test", other, name, f"no image in {other}", source[other])
