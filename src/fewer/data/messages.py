"""What parts have to tell a person, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable


class Notes:
    """Sentences for a person; kept until somebody listens."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._listener: Callable[[str], None] | None = None

    def __call__(self, text: str) -> None:
        if self._listener is None:
            self._waiting.append(text)
        else:
            self._listener(text)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Tells what has been said so far, and from now on at once."""
        self._listener = listener
        while self._waiting:
            listener(self._waiting.pop(0))
