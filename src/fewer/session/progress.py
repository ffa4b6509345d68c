"""The display of a run's progress: what the fit loop reports, for any front end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from fewer.core.errors import printable

if TYPE_CHECKING:
    from pathlib import Path

    from fewer.recipe.schema import Recipe
    from fewer.session.build import Session
    from fewer.training.loop import Row


def opening(folder: Path, recipe: Recipe, device: str) -> str:
    """The first line of a run, known before any image is."""
    return printable(f"{folder}: {recipe.model.name} on {device}, trained on {recipe.data.source}")


class Display(Protocol):
    """Where a run's progress is shown."""

    def decoding(self, done: int, total: int) -> None: ...

    def note(self, text: str) -> None: ...

    def begin(self, session: Session) -> None:
        """The run stands before its first batch, or before the one that it goes on with."""

    def phase(self, name: str) -> None: ...

    def row(self, row: Row, session: Session) -> None: ...

    def epoch(self, line: Mapping[str, Any], session: Session) -> None: ...


class Silent:
    """Shows nothing."""

    def decoding(self, done: int, total: int) -> None:
        return

    def note(self, text: str) -> None:
        return

    def begin(self, session: Session) -> None:
        return

    def phase(self, name: str) -> None:
        return

    def row(self, row: Row, session: Session) -> None:
        return

    def epoch(self, line: Mapping[str, Any], session: Session) -> None:
        return
