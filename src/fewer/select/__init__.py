"""Which samples count. One file a method, found by its name; this page only finds and builds them.

A method's file has a pydantic `Params`, and `build(params, population)` that returns its selector. It imports torch
inside functions only, so that names, parameters and help need no torch. Methods of other packages are found through
the entry point group `fewer.select`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewer.parts import Population, Selector
    from fewer.select.base import MethodParams

_SHARED = {"base", "packer", "revision", "table"}  # files in this folder that are not methods


@cache
def names() -> list[str]:
    """All methods' names: this folder's files, then those that installed packages add."""
    own = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _SHARED)
    return own + sorted(entry.name for entry in entry_points(group="fewer.select") if entry.name not in own)


def module(name: str) -> Any:
    """The module of a method.

    Raises:
        KeyError: No method has this name.
    """
    if name not in names():
        raise KeyError(f'no selection method "{name}"; there are {", ".join(names())}')
    for entry in entry_points(group="fewer.select"):
        if entry.name == name:
            return entry.load()
    return importlib.import_module(f"fewer.select.{name}")


def params(name: str) -> type[MethodParams]:
    """The pydantic class of a method's parameters."""
    found: type[MethodParams] = module(name).Params
    return found


def default() -> MethodParams:
    """The parameters of plain training."""
    from fewer.select.everything import Params

    return Params()


def build(parameters: MethodParams, population: Population, epochs: int) -> Selector:
    """The selector that a recipe asks for, with its revision epochs.

    Args:
        parameters: The method's checked parameters.
        population: What is known of the training set.
        epochs: All epochs of the run.
    """
    from fewer.select.revision import Revision

    selector: Selector = module(parameters.method).build(parameters, population)
    return Revision(selector, parameters.revision.in_epochs(epochs)) if parameters.revision.value else selector


def card(name: str) -> dict[str, Any]:
    """What a method's file says of itself: summary, description, and parameters with default and help."""
    import inspect

    found = module(name)
    summary, _, description = inspect.cleandoc(found.__doc__).partition("\n\n")
    parameters = {
        key: {"default": str(field.default), "help": field.description or ""}
        for key, field in found.Params.model_fields.items()
        if key != "method"
    }
    return {"summary": " ".join(summary.split()), "description": description, "parameters": parameters}
