"""Millions of strings without a Python object each."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import final, overload

import numpy as np
import numpy.typing as npt

# Undecodable bytes of file names are lone surrogates in Python; this keeps them, and bytes sort as the strings do.
_CODING = ("utf-8", "surrogatepass")
_CHUNK = 4096


@final
class Names(Sequence[str]):
    """Strings by position, kept in one buffer of UTF-8 with the place where each ends.

    Args:
        names: The strings; gone through once.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        text, ends = bytearray(), array("q")
        for name in names:
            text += name.encode(*_CODING)
            ends.append(len(text))
        self._text = bytes(text)
        self._ends: npt.NDArray[np.int64] = np.concatenate([[0], np.frombuffer(ends, np.int64)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        return self._text[self._ends[index] : self._ends[index + 1]].decode(*_CODING)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _CHUNK):
            ends = self._ends[start : start + _CHUNK + 1].tolist()
            for begin, end in pairwise(ends):
                yield self._text[begin:end].decode(*_CODING)
