"""The worst images of detection: how many objects each has, and how many were found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewer.report.load import Folder
from fewer.report.markup import Html, esc
from fewer.report.values import mapping, sequence


def verdict(folder: Folder, sample: Mapping[str, Any]) -> tuple[str, Html]:
    """Numbers of annotated objects and of boxes found, as text and as HTML; nothing where the record lacks them."""
    if "true" not in sample or "predicted" not in sample:
        return "", Html("")
    true, found = (sequence(sample.get(key)) for key in ("true", "predicted"))
    counted = [each for each in map(mapping, true) if True not in (each.get("crowd"), each.get("difficult"))]
    objects = len(counted)
    text = f"{objects} {'object' if objects == 1 else 'objects'}, {len(found)} found"
    return text, esc(text)
