"""A reader for the pickle files of CIFAR: dicts and lists of numbers, texts and one array, and nothing else.

Unpickling calls whatever a file names. Here a file may name the four functions by which numpy's arrays and bytes are
written, each stands for code of ours, and the file's instructions are looked over before any is carried out.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any

import numpy as np
import numpy.typing as npt

from fewer.core.errors import DataError

_DATA = (
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "NONE", "NEWTRUE", "NEWFALSE"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
)
_MEMORY = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET")
_CALLS = ("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD")
_ALLOWED = frozenset((*_DATA, *_MEMORY, *_CALLS))
_STEPS_MAX = 2_000_000  # CIFAR-100's larger file takes about a quarter of a million


def load(content: bytes, name: str) -> Any:
    """The value of a pickle file; texts of Python 2 are bytes, arrays are uint8.

    Args:
        content: The whole file.
        name: What to call it in messages.

    Raises:
        DataError: It is damaged, or holds anything but plain data and arrays of bytes.
    """
    try:
        _look_over(content)
        value = _Restricted(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # hostile bytes make the reader raise nearly anything
        raise DataError(
            f"{name}: not a file of plain data: {' '.join(str(error).split()) or type(error).__name__}; nothing of it "
            "was run; fix: download the data set again"
        ) from error
    return _plain(value)


class _Array:
    """Stands for an array while it is put together."""

    def __init__(self) -> None:
        self.values: npt.NDArray[np.uint8] = np.empty(0, np.uint8)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, in_columns, content = state
        if not isinstance(kind, _Bytes) or in_columns is not False:
            raise ValueError("an array that is not rows of bytes")
        self.values = np.frombuffer(content, np.uint8).reshape(shape)


class _Bytes:
    """Stands for numpy's type of one byte."""

    def __setstate__(self, state: Any) -> None:
        """Byte order and alignment, which a byte does not have."""


def _array(*_: Any) -> _Array:
    return _Array()


def _kind(text: Any, *_: Any) -> _Bytes:
    if text not in ("u1", b"u1"):
        raise ValueError(f"an array of {text!r}; only bytes (u1) are read")
    return _Bytes()


def _encoded(text: Any, coding: Any) -> bytes:
    """How Python 3 writes bytes for Python 2."""
    if not isinstance(text, str) or coding not in ("latin1", b"latin1"):
        raise ValueError("bytes in an unknown coding")
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Any] = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _array for core in ("core", "_core")},
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _kind,
    ("_codecs", "encode"): _encoded,
}


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise ValueError(f"it names {module}.{name}") from None


def _look_over(content: bytes) -> None:
    """Refuses instructions that plain data does not need, and memory for more than the file can hold."""
    for step, (code, argument, _) in enumerate(pickletools.genops(content)):
        if code.name not in _ALLOWED:
            raise ValueError(f"it has the instruction {code.name}")
        if step > _STEPS_MAX or (code.name.endswith("PUT") and not 0 <= int(argument or 0) <= step):
            raise ValueError("it asks for more memory than its content needs")


def _plain(value: Any) -> Any:
    """Without stand-ins, and with texts for the keys of dicts."""
    if isinstance(value, dict):
        return {key.decode("latin1") if isinstance(key, bytes) else key: _plain(item) for key, item in value.items()}
    return value.values if isinstance(value, _Array) else value
