"""Messages from the parts to the user."""

from __future__ import annotations

from collections.abc import Callable


class Messages:
    """Sentences for the user; kept until somebody listens."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._listener: Callable[[str], None] | None = None

    def __call__(self, text: str) -> None:
        if self._listener is None:
            self._waiting.append(text)
        else:
            self._listener(text)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Passes on the messages so far, and from now on each at once."""
        self._listener = listener
        while self._waiting:
            listener(self._waiting.pop(0))
