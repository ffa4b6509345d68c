"""The promise of a task on how its predictions are written and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image

    from fewer.core.types import Caption


class PredictionFormat(Protocol):
    """How the predictions of a task are written: for a terminal, as JSON, as a table, and on a contact sheet."""

    columns: tuple[str, ...]
    """The table's columns."""

    def text(self, prediction: Any) -> str:
        """A line for a terminal."""
        ...

    def json(self, prediction: Any) -> dict[str, Any]:
        """Keys and values that JSON can hold."""
        ...

    def cells(self, prediction: Any) -> list[str]:
        """One text for each of `columns`."""
        ...

    def draw(self, thumbnail: Image, prediction: Any) -> Caption:
        """Draws on a thumbnail what can be seen in the image itself; the rest is its caption.

        Of a task that learns from classes the thumbnail is a square out of the image. Else it shows the whole picture,
        at any size, in its middle and as large as it fits (`fewer.core.drawing.place`).
        """
        ...

    def mask(self, prediction: Any) -> bytes | None:
        """The class ids of the picture's pixels as a PNG of its own size; None of a task that finds no masks."""
        ...
