"""Small dense data sets whose pictures show what they are annotated with, and a task that knows or forgets it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

from annotated import dataset, mask, xml
from fewer.core.drawing.boxes import Marked, draw_boxes
from fewer.core.drawing.masks import draw_mask
from fewer.core.types import Caption
from fewer.data.images import ImageData
from fewer.data.listing.splits import open_splits
from fewer.data.settings import ViewSettings
from zoo import encoded

CLASSES = ("bee", "fly\u202e")
WHITE = np.array((240, 240, 240), np.uint8)


def pictures(count: int, size: tuple[int, int]) -> list[tuple[np.ndarray, tuple[int, int, int, int]]]:
    """Grey pictures with one white box each, no two in one place."""
    wide, high = size
    found = []
    for number in range(count):
        box = (2 + number % 7, 3 + number % 5, wide // 2 + number % 6, high // 2 + number % 4)
        pixels = np.full((high, wide, 3), 40, np.uint8)
        pixels[box[1] : box[3], box[0] : box[2]] = WHITE
        found.append((pixels, box))
    return found


def box_data(root: Path, count: int = 6, size: tuple[int, int] = (60, 40), aspect: float = 1.5) -> ImageData:
    """Pictures with one box each, of two classes in turn."""
    files: dict[str, bytes] = {}
    for number, (pixels, box) in enumerate(pictures(count, size)):
        files[f"JPEGImages/{number}.png"] = encoded(Image.fromarray(pixels))
        left, top, right, bottom = box
        label = (CLASSES[number % 2], left + 1, top + 1, right, bottom)  # from 1, the last pixel counted
        files[f"Annotations/{number}.xml"] = xml(f"{number}.png", [label], size=size)
    return _data(f"voc:{dataset(root, files)}", aspect)


def mask_data(root: Path, count: int = 6, size: tuple[int, int] = (60, 40), aspect: float = 1.5) -> ImageData:
    """Pictures whose masks are 1 where they are white, 0 elsewhere, and void in their first row."""
    files: dict[str, bytes] = {"classes.txt": "\n".join(CLASSES).encode()}
    for number, (pixels, _) in enumerate(pictures(count, size)):
        ids = (pixels[..., 0] > 100).astype(np.uint8)
        ids[0] = 255
        files[f"images/{number}.png"], files[f"masks/{number}.png"] = encoded(Image.fromarray(pixels)), mask(ids)
    return _data(f"masks:{dataset(root, files)}", aspect)


def _data(source: str, aspect: float) -> ImageData:
    return ImageData(open_splits(source, "none", "none").train, ViewSettings(aspect=aspect))


@dataclass
class Knowing:
    """A task whose model, a number, says how many pixels its answers lie off the annotation."""

    classes: Sequence[str]

    def predictions(self, model: Any, batch: Any, most: int) -> list[Any]:
        assert not torch.is_grad_enabled()
        return [
            (target["own_boxes"] + model, target["own_labels"], target["size"])
            if "own_boxes" in target
            else target["own"].roll(model, 1)
            for target in batch.targets
        ]

    def format(self, most: int) -> Any:
        return SimpleNamespace(draw=self._draw)

    def _draw(self, picture: Image.Image, prediction: Any) -> Caption:
        if isinstance(prediction, torch.Tensor):
            draw_mask(picture, prediction.numpy())
            return Caption("a mask", 0, 0.5)
        boxes, labels, size = prediction
        named = [
            Marked(tuple(box), label, self.classes[label], 0.9)
            for box, label in zip(boxes.tolist(), labels.tolist(), strict=True)
        ]
        draw_boxes(picture, named, tuple(size.tolist()))
        return Caption(f"{len(named)} boxes", len(named), 0.9)
