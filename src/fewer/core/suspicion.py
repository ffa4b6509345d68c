"""Annotations that a trained model speaks against, as a task of boxes or masks names them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch

    from fewer.core.types import Batch


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One annotation that looks wrong, or one that seems to be missing.

    Attributes:
        id: The image.
        kind: A phrase, such as "missing box".
        annotated: The class that is annotated; None: nothing is.
        predicted: The class that the model finds; None: it finds nothing.
        sure: How strongly it speaks, in [0, 1], by which suspicions of one task are ordered.
        box: Left, top, right and bottom of the place in pixels of the upright picture.
    """

    id: int
    kind: str
    annotated: int | None
    predicted: int | None
    sure: float
    box: tuple[float, float, float, float]


@runtime_checkable
class Suspects(Protocol):
    """A task that can hold annotations against what a model finds."""

    def suspicions(self, model: torch.nn.Module, batches: Iterable[Batch]) -> list[Suspicion]:
        """The annotations of some images that a model speaks against, in any order.

        Args:
            model: In evaluation mode.
            batches: Evaluation views of all the images with their annotation.
        """
        ...
