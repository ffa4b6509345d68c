"""Imports of torch and torchvision, less what nobody here asked of them: half the time of a short command."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_COMPILER = ("torch._dynamo", "torch._dynamo.utils")
_TAKEN = "is_compile_supported"  # what torchvision takes of it


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Imports make objects by the hundred thousand, none of them garbage: looking for some takes a seventh of the time.

    In a process that is to live for a moment only; what was on before is on again behind it.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def import_torchvision() -> None:
    """Imports torchvision without torch's compiler, which would take almost as long as torch itself.

    One operation of torchvision (`roi_align`) takes a function of the compiler's, for devices that it has no kernel
    for. While torchvision is imported, a stand-in is there in the compiler's place; whatever is taken from it imports
    the compiler at its first use.
    """
    if "torchvision" in sys.modules or any(name in sys.modules for name in _COMPILER):
        return
    if find_spec("torchvision") is None:
        return  # for whoever needs it to say
    importlib.import_module("torch")  # whose own import must not meet the stand-in
    for name in _COMPILER:
        sys.modules[name] = _StandIn(name)
    try:
        importlib.import_module("torchvision")
    finally:
        _remove_stand_ins()


def _remove_stand_ins() -> None:
    for name in _COMPILER:
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]


class _StandIn(ModuleType):
    """A module whose function imports the real one when it is called, and whose other contents are the real one's."""

    def __getattr__(self, attribute: str) -> Any:
        is_package = self.__name__ == _COMPILER[0]
        if attribute.startswith("__") and not (is_package and attribute == "__path__"):
            raise AttributeError(attribute)
        if attribute != _TAKEN:
            return getattr(self._real(), attribute)

        def called(*args: Any, **kwargs: Any) -> Any:
            return getattr(self._real(), attribute)(*args, **kwargs)

        return called

    def _real(self) -> ModuleType:
        _remove_stand_ins()
        return importlib.import_module(self.__name__)
