"""Millions of strings without a Python object each."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import final, overload

# Undecodable bytes of file names are lone surrogates in Python; this keeps them, and bytes sort as the strings do.
_CODING = ("utf-8", "surrogatepass")


@final
class Names(Sequence[str]):
    """Strings by position, kept in one buffer of UTF-8 with the place where each ends.

    Args:
        names: The strings; gone through once.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        text, ends = bytearray(), array("q", [0])
        for name in names:
            text += name.encode(*_CODING)
            ends.append(len(text))
        self._text, self._ends = bytes(text), ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._text[self._ends[index] : self._ends[index + 1]].decode(*_CODING)

    def __iter__(self) -> Iterator[str]:
        for begin, end in pairwise(self._ends):
            yield self._text[begin:end].decode(*_CODING)
