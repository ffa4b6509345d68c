"""Stages of a ready recipe fitted to other data: the same curriculum over more epochs, other sides, smaller batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fewer.core.messages import KeyPath

Content = Mapping[str, Any]

FEWEST_STEPS = 16  # an epoch's, at least, as far as batches of _USUAL allow: larger batches would learn next to nothing
_USUAL = 32


def epochs(content: Content, total: int) -> dict[KeyPath, int]:
    """Keys for so many epochs in all; every stage keeps its share of them, and one at least."""
    asked = [stage["epochs"] for stage in content.get("stages", ())]
    if not asked:
        return {("train", "epochs"): total}
    total, planned = max(total, len(asked)), sum(asked)
    found, first = dict[KeyPath, int](), 0
    for place, past in enumerate(_sums(asked)):
        later = len(asked) - 1 - place
        end = min(max(round(past * total / planned), first + 1), total - later)
        found["stages", str(place), "epochs"] = end - first
        first = end
    return found


def sides(content: Content, largest_px: int) -> dict[KeyPath, int]:
    """Keys for another largest side; the others keep their ratio to it, in steps of 16 px, of small images of 2 px."""
    asked = [stage["side_px"] for stage in content.get("stages", ())]
    if not asked:
        return {("train", "side_px"): largest_px}
    grain = 16 if largest_px > 64 else 2
    return {
        ("stages", str(place), "side_px"): largest_px
        if side == max(asked)
        else max(8, round(side * largest_px / max(asked) / grain) * grain)
        for place, side in enumerate(asked)
    }


def batch_sizes(content: Content, images: int, fewest_steps: int = FEWEST_STEPS) -> dict[KeyPath, int | float]:
    """Keys for batches of which an epoch has some, where it had next to none; with the rate that belongs to them.

    Where the learning rate follows the batch (`train.lr_scaling`), each stage takes the batch that it can; else all
    become smaller alike, and SGD's learning rate with them.

    Args:
        content: The recipe's content.
        images: Training images.
        fewest_steps: Steps that an epoch has at least, unless batches were below 32 images then.
    """
    train = content["train"]
    places: list[tuple[KeyPath, int, float]] = [
        (("stages", str(place), "batch_size"), stage["batch_size"], stage.get("data_share", 1.0))
        for place, stage in enumerate(content.get("stages", ()))
        if "batch_size" in stage
    ]
    if not places:
        least = min((stage.get("data_share", 1.0) for stage in content.get("stages", ())), default=1.0)
        places = [(("train", "batch_size"), train["batch_size"], least)]
    fits = {path: _fitting(size, round(images * share), fewest_steps) for path, size, share in places}
    if train.get("lr_scaling", "none") != "none":
        return {path: fits[path] for path, size, _ in places if fits[path] < size}
    factor = min(fits[path] / size for path, size, _ in places)
    if factor == 1:
        return {}
    found: dict[KeyPath, int | float] = {path: max(2, int(size * factor)) for path, size, _ in places}
    if train.get("optimizer", "sgd") == "sgd" and isinstance(train.get("lr"), float):
        found["train", "lr"] = float(f"{train['lr'] * factor:.2g}")
    return found


def _fitting(size: int, images: int, fewest_steps: int) -> int:
    """A batch of this size, or the largest that suits so many images: a power of two, where it is not tiny."""
    most = max(images // fewest_steps, min(_USUAL, images // 4), 2)
    if size <= most:
        return size
    return most if most < _USUAL else 1 << (most.bit_length() - 1)


def _sums(numbers: Sequence[int]) -> Iterator[int]:
    total = 0
    for number in numbers:
        total += number
        yield total
