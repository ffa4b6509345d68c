"""The worst images of segmentation: how much of each is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewer.report import units
from fewer.report.load import Folder
from fewer.report.markup import Html, esc
from fewer.report.values import number


def verdict(folder: Folder, sample: Mapping[str, Any]) -> tuple[str, Html]:
    """Mean IoU within the image and the share of its pixels that are right, as text and as HTML."""
    miou, right = number(sample.get("miou")), number(sample.get("pixel_accuracy"))
    parts = [] if miou is None else [f"mIoU {units.share(miou)}"]
    parts += [] if right is None else [f"{units.share(right)} of the pixels right"]
    text = ", ".join(parts)
    return text, esc(text)
