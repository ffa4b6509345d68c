"""The predictions of a classifier: the most probable classes of an image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

from rich.cells import cell_len, set_cell_size

from fewer.core.errors import printable
from fewer.core.types import Caption

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

Ranking = Sequence[tuple[int, float]]  # index and probability of classes, the most probable first
_CLASS_COLUMNS = 24  # of a name in a terminal, at most


def probabilities(logits_BC: Tensor) -> Tensor:
    """Softmax over the classes; half precision is widened to float32."""
    import torch

    wide = torch.float64 if logits_BC.dtype == torch.float64 else torch.float32
    return torch.softmax(logits_BC, dim=1, dtype=wide)


def rankings(logits_BC: Tensor, most: int) -> list[Ranking]:
    """The most probable classes of each image."""
    p_BK, class_BK = probabilities(logits_BC).topk(min(most, logits_BC.shape[1]), dim=1)
    return [tuple(zip(*pair, strict=True)) for pair in zip(class_BK.tolist(), p_BK.tolist(), strict=True)]


@final
class RankingFormat:
    """Writes rankings.

    Args:
        classes: Names of the classes.
        most: Classes of a ranking, at most.
    """

    def __init__(self, classes: Sequence[str], most: int) -> None:
        self.classes = classes
        places = ("", *(f"_{place}" for place in range(2, min(most, len(classes)) + 1)))
        self.columns = tuple(f"{key}{place}" for place in places for key in ("class", "probability"))

    def text(self, prediction: Ranking) -> str:
        return "  ".join(f"{self._shown[index]} {p:6.1%}" for index, p in prediction)

    def json(self, prediction: Ranking) -> dict[str, Any]:
        top = [{"class": self.classes[index], "probability": p} for index, p in prediction]
        return {**top[0], "top": top}

    def cells(self, prediction: Ranking) -> list[str]:
        return [cell for index, p in prediction for cell in (self.classes[index], f"{p:.6f}")]

    def draw(self, thumbnail: Image, prediction: Ranking) -> Caption:
        index, p = prediction[0]
        return Caption(self.classes[index], index, p)

    def mask(self, prediction: Ranking) -> None:
        return None

    @cached_property
    def _shown(self) -> list[str]:
        """The classes' names in columns of one width."""
        names = [printable(name) for name in self.classes]
        width = min(_CLASS_COLUMNS, max(map(cell_len, names)))
        return [set_cell_size(_cut(name, width), width) for name in names]


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"
