"""Figures of boxes and masks: objects an image, sizes of boxes, pixels a class, and classes that occur together.

C: classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fewer.inspection.annotated import BoxPart, MaskPart
from fewer.inspection.inventory import Part
from fewer.inspection.spread import Figures, spreads
from fewer.report import units

SIDES_PX = (128, 192, 256, 320, 416, 512, 640, 800)  # of frames that boxes are measured in
SMALL_PX = (8, 16, 32)  # the stride of the finest grid of most detectors, and twice and four times it
TOGETHER_MAX = 100  # classes of the table of pairs
_SIDES_TOLD = (256, 416, 640)  # in a terminal
_SHOWN = 5  # pairs, in a terminal
MEASURES = {"objects": "objects an image", "box_px": "side of a box, px"}


def annotation_figures(parts: list[Part]) -> dict[str, Any]:
    """The figures of boxes as `boxes`, and of masks as `masks`, each only where there are such; masks are read.

    The side of a box is the root of its area. In a frame of a side, the picture's longer side has so many pixels, and
    boxes are as much smaller as the picture is.
    """
    boxes = {part.split: part.annotated for part in parts if isinstance(part.annotated, BoxPart)}
    masks = {part.split: part.annotated for part in parts if isinstance(part.annotated, MaskPart)}
    found: dict[str, Any] = {}
    if boxes:
        found["boxes"] = _of_boxes(boxes)
    if masks:
        found["masks"] = _of_masks(masks)
    return found


def _of_boxes(parts: dict[str, BoxPart]) -> Figures:
    objects = {split: part.class_objects() for split, part in parts.items()}
    names = list(dict.fromkeys(name for part in parts.values() for name in part.classes))
    measured = {
        "objects": spreads({split: part.objects.count_N[part.ids].astype(np.float64) for split, part in parts.items()}),
        "box_px": spreads({split: _sides(part) for split, part in parts.items()}),
    }
    splits = {}
    for split, part in parts.items():
        table = part.objects
        splits[split] = {
            "images": len(part.ids),
            "background": int((np.diff(table.first_N1)[part.ids] == 0).sum()),
            "objects": int(part.own_A.sum()),
            "crowds": int(table.crowd_A[part.own_A].sum()),
            "difficult": int(table.difficult_A[part.own_A].sum()),
            "measures": {name: of[split] for name, of in measured.items() if split in of},
            "small": _small(part),
        }
    classes: list[Figures] = [
        {"name": name, "objects": sum(count[name] for count in objects.values()),
         "splits": {split: count[name] for split, count in objects.items()}}
        for name in names
    ]  # fmt: skip
    return {"splits": splits, "classes": _ranked(classes, "objects"), "together": _together(parts, names)}


def _ranked(classes: list[Figures], key: str) -> list[Figures]:
    return sorted(classes, key=lambda each: (-each[key], each["name"]))


def _sides(part: BoxPart) -> npt.NDArray[np.float64]:
    """The root of the area of each box of a split, in pixels of the picture."""
    box_A4 = part.objects.box_A4[part.own_A]
    sides: npt.NDArray[np.float64] = np.sqrt((box_A4[:, 2:] - box_A4[:, :2]).prod(axis=1))
    return sides


def _small(part: BoxPart) -> list[Figures]:
    """The share of boxes below each of `SMALL_PX`, in frames of each of `SIDES_PX`; those of unknown pictures apart."""
    longer_A = part.size_N2.max(axis=1)[part.objects.image_A[part.own_A]]
    share_A = _sides(part)[longer_A > 0] / longer_A[longer_A > 0]
    return [
        {"side_px": side_px, **{f"under_{px}": float((share_A * side_px < px).mean()) for px in SMALL_PX}}
        for side_px in SIDES_PX
        if len(share_A)
    ]


def _of_masks(parts: dict[str, MaskPart]) -> Figures:
    names = list(dict.fromkeys(name for part in parts.values() for name in part.classes))
    pixels = {
        split: dict(zip(part.classes, part.class_pixels().tolist(), strict=True)) for split, part in parts.items()
    }
    splits = {}
    for split, part in parts.items():
        labelled, void = sum(pixels[split].values()), sum(facts.void for facts in part.facts)
        splits[split] = {"images": part.count, "pixels": labelled + void, "void": void,
                         "damaged": sum(bool(facts.code) for facts in part.facts)}  # fmt: skip
    classes: list[Figures] = [
        {"name": name, "pixels": sum(of.get(name, 0) for of in pixels.values()),
         "splits": {split: of.get(name, 0) for split, of in pixels.items()}}
        for name in names
    ]  # fmt: skip
    return {"splits": splits, "classes": _ranked(classes, "pixels"), "together": _together(parts, names)}


def _together(parts: dict[str, BoxPart] | dict[str, MaskPart], names: list[str]) -> Figures:
    """How many images show both of two classes; of many classes, those that most images show.

    The diagonal is the images that show the class.
    """
    index = {name: at for at, name in enumerate(names)}
    both_CC = np.zeros((len(names), len(names)), np.int64)
    for part in parts.values():
        shows_NC = np.zeros((len(part.shows_NC), len(names)), np.int64)
        shows_NC[:, [index[name] for name in part.classes]] = part.shows_NC
        both_CC += shows_NC.T @ shows_NC
    kept = np.sort(np.argsort(-both_CC.diagonal(), kind="stable")[:TOGETHER_MAX])
    return {"classes": [names[at] for at in kept], "images": both_CC[np.ix_(kept, kept)].tolist()}


def pairs_together(found: Figures) -> list[tuple[float, str, str, int]]:
    """Pairs of classes that occur together most: images with both in those with either, the names, images with both."""
    both = found["images"]
    pairs = [
        (both[i][j] / (both[i][i] + both[j][j] - both[i][j]), found["classes"][i], found["classes"][j], both[i][j])
        for i in range(len(both))
        for j in range(i)
        if both[i][j]
    ]
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))


def as_text(figures: dict[str, Any]) -> Iterator[str]:
    """The figures as lines for a terminal; names are not escaped."""
    if boxes := figures.get("boxes"):
        for split, of in boxes["splits"].items():
            kinds = (("background", "images without one"), ("crowds", "crowds"), ("difficult", "difficult"))
            yield f"{split}: {of['objects']:,} objects" + "".join(
                f"; {what}: {of[key]:,}" for key, what in kinds if of[key]
            )
            for name, spread in of["measures"].items():
                points = (("min", "min"), ("5 %", "p5"), ("median", "median"), ("95 %", "p95"), ("max", "max"))
                yield f"  {MEASURES[name]:18} " + ", ".join(
                    f"{text} {units.plain(spread[key])}" for text, key in points
                )
            for row in of["small"]:
                if row["side_px"] in _SIDES_TOLD:
                    shares = ", ".join(f"{row[f'under_{px}']:.1%} under {px} px" for px in SMALL_PX)
                    yield f"  in {row['side_px']} px          {shares}"
        yield from _listed(boxes["classes"], "objects", "objects")
        yield from _pairs_as_text(boxes["together"])
    if masks := figures.get("masks"):
        for split, of in masks["splits"].items():
            damaged = f"; masks of no use: {of['damaged']:,}" if of["damaged"] else ""
            share = of["void"] / of["pixels"] if of["pixels"] else 0
            yield f"{split}: {units.count(of['pixels'])} pixels, {share:.1%} of them void{damaged}"
        yield from _listed(masks["classes"], "pixels", "labelled pixels")
        yield from _pairs_as_text(masks["together"])


def _listed(classes: list[Figures], key: str, what: str) -> Iterator[str]:
    total = sum(each[key] for each in classes) or 1
    yield f"classes by {what}, the largest first:"
    shown = classes if len(classes) <= 40 else [*classes[:20], *classes[-20:]]
    for at, each in enumerate(shown):
        if len(classes) > 40 and at == 20:
            yield f"  ... {len(classes) - 40:,} more (--json lists them)"
        yield f"  {each['name']}: {each[key]:,} ({each[key] / total:.2%})"


def _pairs_as_text(found: Figures) -> Iterator[str]:
    pairs = pairs_together(found)[:_SHOWN]
    if pairs:
        yield "classes in one image most often, by images with both in those with either:"
    for share, one, other, images in pairs:
        yield f"  {one} and {other}: {share:.0%} (images: {images:,})"
