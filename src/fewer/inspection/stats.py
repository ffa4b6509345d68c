"""Figures of a source: classes, sizes, formats and moments, split by split, as one JSON document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from fewer.inspection import annotation_stats
from fewer.inspection.annotation_stats import annotation_figures
from fewer.inspection.duplicates import copies
from fewer.inspection.inventory import Inventory, Part
from fewer.inspection.looks import ALIKE_BITS, groups_of
from fewer.inspection.probe import ImageFacts
from fewer.inspection.spread import Figures, spreads
from fewer.report import units

SHOWN = 8  # groups of images that look alike, and names of each
MEASURES = {
    "short_side_px": "short side, px",
    "width_px": "width, px",
    "height_px": "height, px",
    "aspect": "width / height",
    "file_bytes": "bytes a file",
}


def statistics(text: str, inventory: Inventory, facts_of: list[list[ImageFacts]]) -> Figures:
    """The figures of all splits; names are stable, and more may be added.

    Mean and deviation are those of training: of each channel over the pixels of upright RGB images, in units where
    white is 1. Here they are taken at the images' own sizes, in training of the centre square at the side of the run,
    so the two agree where images are squares of that side.
    """
    splits: dict[str, Figures] = {}
    counts: dict[str, Counter[str]] = {}
    for split in dict.fromkeys(part.split for part in inventory.parts):
        facts: list[ImageFacts] = []
        sizes: list[int] = []
        counts[split] = Counter()
        for part, facts_of_part in zip(inventory.parts, facts_of, strict=True):
            if part.split == split:
                facts += facts_of_part
                sizes += part.sizes
                counts[split].update(part.class_images())
        splits[split] = _of_split(facts, sizes, counts[split])
    _measure(splits)
    total = sum(counts.values(), Counter[str]())
    classes = [
        {"name": name, "images": total[name], "splits": {split: count[name] for split, count in counts.items()}}
        for name in sorted(total, key=lambda name: (-total[name], name))
    ]
    return {
        "schema": 1, "source": text, "notes": inventory.notes, "classes": classes, "splits": splits,
        "near_duplicates": _near_duplicates(inventory.parts, facts_of), **annotation_figures(inventory.parts),
    }  # fmt: skip


def _near_duplicates(parts: list[Part], facts_of: list[list[ImageFacts]]) -> Figures:
    """How many images look alike without being equal, and the largest groups of them."""
    found = copies(parts, facts_of)
    group_N = groups_of(len(found.where), found.one, found.other)
    members: dict[int, list[int]] = {}
    for at in sorted({*found.one.tolist(), *found.other.tolist()}):
        members.setdefault(int(group_N[at]), []).append(at)
    groups = sorted(members.values(), key=len, reverse=True)
    split = [parts[i].split for i, _ in found.where]
    shown = [[parts[i].names[at] for i, at in (found.where[k] for k in group[:SHOWN])] for group in groups[:SHOWN]]
    return {
        "bits": ALIKE_BITS,
        "images": sum(map(len, groups)),
        "groups": len(groups),
        "groups_across_splits": sum(len({split[at] for at in group}) > 1 for group in groups),
        "largest": [{"images": len(group), "names": names} for group, names in zip(groups, shown, strict=False)],
    }


def _of_split(facts: list[ImageFacts], sizes: list[int], counts: Counter[str]) -> Figures:
    sound = [each for each in facts if not each.code]
    width = np.array([each.width_px for each in sound], np.float64)
    height = np.array([each.height_px for each in sound], np.float64)
    file_bytes = np.array([size for size, each in zip(sizes, facts, strict=True) if not each.code], np.float64)
    measured = (np.minimum(width, height), width, height, width / height, file_bytes)
    mean, std = moments(sound)
    return {
        "images": len(facts),
        "damaged": len(facts) - len(sound),
        "bytes": sum(sizes),
        "pixels": int((width * height).sum()),
        "classes": len(counts),
        "imbalance": max(counts.values()) / min(counts.values()) if counts else None,
        "formats": dict(Counter(each.format for each in sound).most_common()),
        "modes": dict(Counter(each.mode for each in sound).most_common()),
        "mean": mean,
        "std": std,
        "measures": dict(zip(MEASURES, measured, strict=True)) if sound else {},
    }


def _measure(splits: dict[str, Figures]) -> None:
    """Replaces values by their spread; the histograms of all splits have the same bins."""
    for name in MEASURES:
        found = spreads({split: of["measures"][name] for split, of in splits.items() if of["measures"]})
        for split, spread in found.items():
            splits[split]["measures"][name] = spread


def moments(sound: list[ImageFacts]) -> tuple[list[float] | None, list[float] | None]:
    """Mean and standard deviation of each channel, in units where white is 1; from whole numbers, so exact."""
    pixels = sum(each.width_px * each.height_px for each in sound)
    if not pixels:
        return None, None
    totals = [sum(each.sums[channel] for each in sound) for channel in range(3)]
    squares = [sum(each.squares[channel] for each in sound) for channel in range(3)]
    mean = [total / pixels / 255 for total in totals]
    # pixels * squares - total^2 stays whole until the end: floats would cancel here
    std = [(pixels * s - t * t) ** 0.5 / pixels / 255 for t, s in zip(totals, squares, strict=True)]
    return mean, std


def as_text(figures: Figures) -> Iterator[str]:
    """The figures as lines for a terminal; names are not escaped."""
    for split, of in figures["splits"].items():
        yield f"{split}: {of['images']:,} images of {of['classes']:,} classes, {units.amount(of['bytes'], 'B')}"
        if of["damaged"]:
            yield f"  {of['damaged']:,} of them cannot be decoded; `fewer data check` lists them"
        if of["imbalance"]:
            yield f"  imbalance     {of['imbalance']:.3g} (images of the largest class / of the smallest)"
        for name, spread in of["measures"].items():
            show = units.count if name == "file_bytes" else units.plain
            yield (
                f"  {name:13} min {show(spread['min'])}, 5 % {show(spread['p5'])}, median {show(spread['median'])}, "
                f"95 % {show(spread['p95'])}, max {show(spread['max'])}"
            )
        for name in ("formats", "modes"):
            yield f"  {name:13} " + ", ".join(f"{key} {count:,}" for key, count in of[name].items())
        for name in ("mean", "std"):
            if of[name]:
                yield f"  {name:13} " + " ".join(f"{value:.4f}" for value in of[name]) + "  (red, green, blue)"
    yield from near_duplicates_as_text(figures["near_duplicates"])
    if figures.keys() & {"boxes", "masks"}:
        yield from annotation_stats.as_text(figures)
        return
    classes = figures["classes"]
    total = sum(each["images"] for each in classes)
    yield "classes, the largest first:"
    shown = classes if len(classes) <= 40 else [*classes[:20], *classes[-20:]]
    for i, each in enumerate(shown):
        if len(classes) > 40 and i == 20:
            yield f"  ... {len(classes) - 40:,} more (--json lists them)"
        splits = ", ".join(f"{split} {count:,}" for split, count in each["splits"].items())
        apart = f"; {splits}" if len(each["splits"]) > 1 else ""
        yield f"  {each['name']}: {each['images']:,} ({each['images'] / total:.1%}){apart}"


def near_duplicates_as_text(found: Figures) -> Iterator[str]:
    """What is known of images that look alike, as lines; names are not escaped."""
    if not found["groups"]:
        return
    across = found["groups_across_splits"]
    leaks = f", {across:,} of them in more than one split" if across else ""
    groups = f"{found['groups']:,} group{'' if found['groups'] == 1 else 's'}"
    yield f"near-duplicates: {found['images']:,} images in {groups}{leaks}"
    for group in found["largest"][:3]:
        more = f" and {group['images'] - 3:,} more" if group["images"] > 3 else ""
        yield f"  {', '.join(group['names'][:3])}{more}"
