"""Millions of short values without a Python object each."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar, final, overload

T = TypeVar("T")

# Undecodable bytes of file names are lone surrogates in Python; this keeps them, and bytes sort as the strings do.
_CODING = ("utf-8", "surrogatepass")


class Buffered(Sequence[T]):
    """Values by position that are made from a buffer as they are asked for; a slice is a list."""

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._value(i) for i in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._value(index)

    @abstractmethod
    def _value(self, index: int) -> T:
        """The value at a position that exists."""


@final
class Names(Buffered[str]):
    """Strings, kept in one buffer of UTF-8 with the place where each ends.

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

    def __iter__(self) -> Iterator[str]:
        for begin, end in pairwise(self._ends):
            yield self._text[begin:end].decode(*_CODING)

    def _value(self, index: int) -> str:
        return self._text[self._ends[index] : self._ends[index + 1]].decode(*_CODING)
