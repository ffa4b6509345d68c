"""Texts of users' files, as editors and programs save them, and commands that messages advise."""

from __future__ import annotations

import shlex

_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def decoded(data: bytes) -> str:
    """The text of a file: UTF-8 with or without a byte order mark, or UTF-16 with its mark.

    Raises:
        UnicodeDecodeError: It is neither.
    """
    return data.decode("utf-16" if data.startswith(_UTF16) else "utf-8-sig")


def quantity(number: int, noun: str) -> str:
    """A number of things: 1 image, 2,105 images."""
    return f"{number:,} {noun}{'s'[: number != 1]}"


def command(*words: object) -> str:
    """A command that a message advises, between backquotes; a shell takes each word as one, blanks in it or not."""
    return f"`{shlex.join(map(str, words))}`"
