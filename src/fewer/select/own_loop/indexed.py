"""A data set whose samples bring their position along, for loops that have to tell which samples they trained on."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from fewer.core.errors import DataError, UsageError


@final
class Indexed(Dataset[Any]):
    """Gives each sample with its position, which is its id: `(image, label)` becomes `(image, label, position)`.

    A dict gets the key `id`. Batches that the inner data set fetches at once (`__getitems__`) still are.

    Args:
        dataset: Samples by position, with a length.

    Raises:
        DataError: The data set has no positions.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
            raise DataError(
                f"Indexed: {type(dataset).__name__} has no positions and no length, so that no sample can be chosen; "
                "use a data set with __getitem__ and __len__"
            )
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: int) -> Any:
        return _numbered(self.dataset[position], position)

    def __getitems__(self, positions: Sequence[int]) -> list[Any]:
        fetch = getattr(self.dataset, "__getitems__", None)
        samples = fetch(list(positions)) if fetch else [self.dataset[position] for position in positions]
        return [_numbered(sample, position) for sample, position in zip(samples, positions, strict=True)]


def _numbered(sample: Any, position: int) -> Any:
    if isinstance(sample, dict):
        return {**sample, "id": position}
    return (*sample, position) if isinstance(sample, (tuple, list)) else (sample, position)


def asking_dataset() -> Any:
    """The data set of the DataLoader that is asking a sampler for samples; None where none is.

    A sampler is never told whose samples it names, so the loader's iterator is looked up among the callers, by its
    module: its class is private to torch. Where torch calls it otherwise, the hint is lost and nothing else.
    """
    frame = sys._getframe(1)
    while frame is not None:
        asking: Any = frame.f_locals.get("self")
        if type(asking).__module__ == DataLoader.__module__ and hasattr(asking, "_dataset"):
            return asking._dataset
        frame = frame.f_back  # type: ignore[assignment]
    return None


def require_positions(dataset: Any, positions: Sequence[int]) -> None:
    """Refuses the commonest slip: a data set of (image, label), from which no batch brings ids along.

    Any other kind of sample may hold ids in a form of its own.

    Raises:
        UsageError: The samples are pairs that end in a whole number, and it is not the position.
    """
    if dataset is None or isinstance(dataset, Indexed):
        return
    state, of_numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):  # looking at a sample must not move the loop's own random numbers
            drawn = [dataset[position] for position in positions]
    finally:
        random.setstate(state)
        np.random.set_state(of_numpy)
    pairs = [sample for sample in drawn if isinstance(sample, (tuple, list)) and len(sample) == 2]
    ends = [int(pair[1]) for pair in pairs if _is_whole(pair[1])]
    if len(ends) == len(positions) and ends != list(positions):
        raise UsageError(
            f"the samples of {type(dataset).__name__} are pairs such as (image, label), and do not say which they are; "
            "wrap it, and take three: DataLoader(Indexed(data), sampler=chooser.sampler) gives (image, label, position)"
        )


def _is_whole(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and not value.is_floating_point()
    return isinstance(value, (int, np.integer))
