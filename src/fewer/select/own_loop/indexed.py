"""A data set whose samples bring their position along, for loops that have to tell which samples they trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from torch.utils.data import Dataset, IterableDataset

from fewer.core.errors import DataError


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
