"""Annotations of images: what is to be learnt of a batch, as its views show it.

B: samples of the batch. N: all ids of the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from fewer.core.types import Request

if TYPE_CHECKING:
    from fewer.core.frame import Frame
    from fewer.core.ragged import Values
    from fewer.data.augment.view import View


class Annotations(Protocol):
    """What the images of a split are annotated with."""

    def targets(self, request: Request, view: View, frame: Frame | None = None) -> Values:
        """The targets of a request's samples, in order.

        Args:
            request: Which samples.
            view: The geometry of their views, by which masks and boxes move as the images do.
            frame: The part in the middle of the views that a model is shown; None: all of them.
        """
        ...


@dataclass(frozen=True, slots=True)
class ClassLabels:
    """The class of each image, which no view changes.

    Attributes:
        label_N: Class of every id, int64, on the device of the batches.
    """

    label_N: Tensor

    def targets(self, request: Request, view: View, frame: Frame | None = None) -> Tensor:
        """Classes, int64 (B)."""
        return self.label_N[request.ids_B.to(self.label_N.device)]
