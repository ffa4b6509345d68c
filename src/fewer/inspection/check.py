"""From the facts of all images to findings: file by file, then across files, then across classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from fewer.inspection.examine import Facts
from fewer.inspection.findings import KINDS, Finding
from fewer.inspection.listing import ALL, Listing, Part
from fewer.inspection.pool import examined

Progress = Callable[[int, int], None]
TINY_PX = 8  # of the short side; below it no model of this package has anything to see
LONG = 4.0  # of the long side in short sides
UNEVEN = 8.0  # of the 95th percentile of short sides in 5th percentiles
_ENDINGS = {
    "JPEG": ("jpg", "jpeg"), "MPO": ("jpg", "jpeg"), "PNG": ("png",), "BMP": ("bmp",), "GIF": ("gif",),
    "WEBP": ("webp",), "PPM": ("ppm", "pgm"), "TIFF": ("tif", "tiff"),
}  # fmt: skip
_MODES = {
    "1": "black and white", "L": "grey", "I": "grey", "I;16": "grey", "LA": "grey with transparency", "P": "palette",
    "PA": "palette with transparency", "RGBA": "with transparency", "RGBX": "with a fourth channel",
}  # fmt: skip


def look(listing: Listing, processes: int | None = None, on_progress: Progress | None = None) -> list[list[Facts]]:
    """Reads and decodes every image once: its facts, part by part.

    Args:
        listing: Which images.
        processes: As for `examined`.
        on_progress: Called with images done and images in all.
    """
    total, done = len(listing), 0
    reads = (partial(part.read, at) for part in listing.parts for at in range(len(part)))
    facts = examined(reads, processes)
    looked: list[list[Facts]] = []
    for part in listing.parts:
        looked.append([])
        for _ in range(len(part)):
            looked[-1].append(next(facts))
            done += 1
            if on_progress is not None:
                on_progress(done, total)
    facts.close()
    return looked


def check(listing: Listing, looked: list[list[Facts]]) -> list[Finding]:
    """Everything found, in the order of `KINDS`, then by split and path."""
    found = list(listing.findings)
    for part, facts in zip(listing.parts, looked, strict=True):
        for name, each in zip(part.names, facts, strict=True):
            found += (Finding(code, part.split, name, reason, part.source) for code, reason in _of_file(name, each))
        found += _uneven(part, facts)
    found += _twins(listing.parts, looked)
    found += _of_classes(listing.parts)
    rank = {code: i for i, code in enumerate(KINDS)}
    splits = {"": 0, "train": 1, "val": 2, "test": 3, ALL: 1}
    return sorted(found, key=lambda f: (rank[f.code], splits[f.split], f.source, f.path))


def _of_file(name: str, facts: Facts) -> Iterator[tuple[str, str]]:
    """Code and reason of all that one file has to say."""
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
    if facts.mode == "CMYK":
        yield "cmyk", f"{facts.format} in CMYK"
    elif facts.mode != "RGB":
        yield "not-rgb", _MODES.get(facts.mode, facts.mode)
    ending = name.rpartition(".")[2].lower()
    if facts.format in _ENDINGS and ending not in _ENDINGS[facts.format]:
        yield "wrong-suffix", f"{facts.format} named .{ending}"


def _uneven(part: Part, facts: list[Facts]) -> Iterator[Finding]:
    sides = [min(each.width_px, each.height_px) for each in facts if not each.code]
    if len(sides) < 20:
        return  # percentiles of a few say nothing
    low, high = np.percentile(sides, (5, 95))
    if high > UNEVEN * low:
        reason = f"short sides from {low:,.0f} px (5th percentile) to {high:,.0f} px (95th)"
        yield Finding("uneven-sizes", part.split, "", reason, part.source)


def _twins(parts: list[Part], looked: list[list[Facts]]) -> Iterator[Finding]:
    """Images whose upright RGB pixels are equal, each told against the first of its kind."""
    groups: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for i, facts in enumerate(looked):
        for at, each in enumerate(facts):
            if not each.code:
                groups[each.pixels_hash].append((i, at))
    order = {"train": 0, ALL: 0, "val": 1, "test": 2}
    for group in groups.values():
        if len(group) > 1:
            first, *others = sorted(group, key=lambda where: order[parts[where[0]].split])
            splits = {parts[i].split: at for i, at in reversed([first, *others])}
            for other in others:
                yield from _twin(parts, looked, first, other, len(splits) > 1)


def _twin(
    parts: list[Part], looked: list[list[Facts]], first: tuple[int, int], other: tuple[int, int], across: bool
) -> Iterator[Finding]:
    (i, at), (j, there) = first, other
    one, two = parts[i], parts[j]
    same = looked[i][at].bytes_hash == looked[j][there].bytes_hash
    what = f"{'the same bytes' if same else 'the same pixels'} as {_place(one, at)}"
    if across and one.split != two.split:
        yield Finding("identical-across-splits", two.split, two.names[there], what, two.source)
    else:
        yield Finding("identical-within-split", two.split, two.names[there], what, two.source)
    if one.labels[at] != two.labels[there]:
        reason = f"{what}, of class {one.labels[at]!r} there and {two.labels[there]!r} here"
        yield Finding("identical-other-label", two.split, two.names[there], reason, two.source)


def _place(part: Part, at: int) -> str:
    name = part.names[at]
    return name if part.split == ALL or name.startswith(f"{part.split}/") else f"{name} ({part.split})"


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
