"""The display of a run's progress: what the fit loop reports, for any front end."""

from __future__ import annotations

from typing import Protocol

from fewer.session.build import Session
from fewer.training.loop import Row


class Display(Protocol):
    """Where a run's progress is shown."""

    def decoding(self, done: int, total: int) -> None: ...

    def note(self, text: str) -> None: ...

    def phase(self, name: str) -> None: ...

    def row(self, row: Row, session: Session) -> None: ...

    def epoch(self, text: str) -> None: ...


class Silent:
    """Shows nothing."""

    def decoding(self, done: int, total: int) -> None:
        return

    def note(self, text: str) -> None:
        return

    def phase(self, name: str) -> None:
        return

    def row(self, row: Row, session: Session) -> None:
        return

    def epoch(self, text: str) -> None:
        return
