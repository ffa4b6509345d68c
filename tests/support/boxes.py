"""Small pictures with rectangles for detectors, in one colour a class."""

from __future__ import annotations

from collections.abc import Sequence

import torch

_COLOURS = ((2.0, -1.0, -1.0), (-1.0, 2.0, -1.0), (-1.0, -1.0, 2.0))


def rectangles(
    images: int, height: int = 64, width: int = 96, seed: int = 0, most: int = 3, classes: int = 3
) -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
    """Noise with filled rectangles, one in each part of the width, and their boxes and labels."""
    chance = torch.Generator().manual_seed(seed)
    pictures, targets = 0.1 * torch.randn(images, 3, height, width, generator=chance), []
    for picture in pictures:
        boxes, labels = [], []
        for part in range(int(torch.randint(1, most + 1, (1,), generator=chance))):
            wide, tall = torch.randint(14, 28, (2,), generator=chance).tolist()
            left = part * (width // most) + int(torch.randint(0, max(1, width // most - wide), (1,), generator=chance))
            top = int(torch.randint(0, height - tall, (1,), generator=chance))
            label = int(torch.randint(0, classes, (1,), generator=chance))
            picture[:, top : top + tall, left : left + wide] = torch.tensor(_COLOURS[label])[:, None, None]
            boxes.append([left, top, left + wide, top + tall])
            labels.append(label)
        targets.append({"boxes": torch.tensor(boxes, dtype=torch.float32), "labels": torch.tensor(labels)})
    return pictures, targets


def without_objects(like: Sequence[dict[str, torch.Tensor]], index: int) -> list[dict[str, torch.Tensor]]:
    """The same targets, of which one has no boxes."""
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    return [none if place == index else each for place, each in enumerate(like)]


def seen_whole(targets: Sequence[dict[str, torch.Tensor]], width: int, height: int) -> list[dict[str, torch.Tensor]]:
    """Targets as evaluation views have them, of pictures of twice the size and 20 px more to each side."""
    found = []
    for target in targets:
        own = target["boxes"].double() * 2 + torch.tensor([20.0, 0.0, 20.0, 0.0])
        area = (own[:, 2:] - own[:, :2]).prod(1)
        to_picture = torch.tensor([2.0, 20.0, 2.0, 0.0], dtype=torch.float64)
        placed = {"size": torch.tensor([2 * width + 40, 2 * height]), "to_picture": to_picture}
        own_targets = {"own_boxes": own, "own_labels": target["labels"], "own_area": area}
        own_targets |= {f"own_{name}": torch.zeros(len(own), dtype=torch.bool) for name in ("crowd", "ignored")}
        found.append({**target, **own_targets, **placed})
    return found
