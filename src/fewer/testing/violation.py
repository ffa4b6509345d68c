"""A broken promise, as the conformance kits report it."""

from __future__ import annotations


class Violation(AssertionError):
    """A promise that a part breaks: which one, where, what was found, and how to mend it."""


def require(condition: bool, promise: str, fix: str) -> None:
    """Raises `Violation` unless the condition holds."""
    if not condition:
        raise Violation(f"broken: {promise}; {fix}")
