"""Findings about boxes and masks: objects annotated twice, masks of no use, classes that no image shows."""

from __future__ import annotations

from collections.abc import Iterator

from fewer.inspection.annotated import BoxPart, MaskPart, class_images, twins
from fewer.inspection.findings import Finding
from fewer.inspection.inventory import ALL, Part


def annotation_findings(parts: list[Part]) -> Iterator[Finding]:
    """What is wrong with the boxes and masks of images; masks are read for it."""
    for part in parts:
        if isinstance(part.annotated, BoxPart):
            for at, reason in twins(part.annotated):
                yield Finding("box-duplicate", part.split, part.names[at], reason, part.source)
            if part.annotated.is_ignored:
                what = f"none of {int(part.annotated.own_A.sum()):,} objects counts in evaluation"
                yield Finding("all-difficult", part.split, part.source, what, part.source)
        elif isinstance(part.annotated, MaskPart):
            for name, facts in zip(part.names, part.annotated.facts, strict=True):
                if facts.code:
                    yield Finding(facts.code, part.split, name, facts.reason, part.source)
                elif not facts.pixels_C.any():
                    yield Finding("mask-void", part.split, name, f"all {facts.void:,} pixels are void", part.source)
    yield from _of_classes(parts)


def _of_classes(parts: list[Part]) -> Iterator[Finding]:
    """Classes that no training image shows, and such that nothing is held out of."""
    shown = {part.split: class_images(part.annotated) for part in parts if part.annotated is not None}
    names = {name: None for part in parts if part.annotated is not None for name in part.annotated.classes}
    source = {part.split: part.source for part in parts}
    train = "train" if "train" in shown else ALL
    for name in names if train in shown else ():
        if not shown[train][name]:
            yield Finding("class-not-shown", train, name, "no training image shows it", source[train])
            continue
        for other in ("val", "test"):
            if other in shown and not shown[other][name]:
                yield Finding("class-not-in-test", other, name, f"no image in {other}", source[other])
