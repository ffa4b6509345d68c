"""Train vision models to the same accuracy with fewer samples, pixels, steps and bytes, and see what it cost.

These names are the public surface; each is imported at its first use, so that `import fewer` does not import torch.
Every other module can be imported by its own name (`fewer.select.dbpd`, `fewer.rng`), and may change between versions.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewer.adapt.chooser import Chooser as Chooser
    from fewer.compare.frames import load_runs as load_runs
    from fewer.errors import FewerError as FewerError
    from fewer.fit import fit as fit
    from fewer.fit import resume as resume
    from fewer.loop import train as train
    from fewer.parts import At as At
    from fewer.parts import Batch as Batch
    from fewer.parts import Chosen as Chosen
    from fewer.parts import Comm as Comm
    from fewer.parts import Data as Data
    from fewer.parts import Expects as Expects
    from fewer.parts import Keep as Keep
    from fewer.parts import Outcome as Outcome
    from fewer.parts import Request as Request
    from fewer.parts import Selector as Selector
    from fewer.parts import Sync as Sync
    from fewer.parts import Task as Task
    from fewer.plan import Plan as Plan
    from fewer.plan import compile_plan as compile_plan
    from fewer.reading import load_recipe as load_recipe
    from fewer.reading import parse_recipe as parse_recipe
    from fewer.recipe import Recipe as Recipe
    from fewer.run import Run as Run
    from fewer.select.table import Table as Table

    __version__: str

_HOME = {
    "fewer.adapt.chooser": ("Chooser",),
    "fewer.compare.frames": ("load_runs",),
    "fewer.errors": ("FewerError",),
    "fewer.fit": ("fit", "resume"),
    "fewer.loop": ("train",),
    "fewer.parts": (
        *("At", "Batch", "Chosen", "Comm", "Data", "Expects"),
        *("Keep", "Outcome", "Request", "Selector", "Sync", "Task"),
    ),
    "fewer.plan": ("Plan", "compile_plan"),
    "fewer.reading": ("load_recipe", "parse_recipe"),
    "fewer.recipe": ("Recipe",),
    "fewer.run": ("Run",),
    "fewer.select.table": ("Table",),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "At",
    "Batch",
    "Chooser",
    "Chosen",
    "Comm",
    "Data",
    "Expects",
    "FewerError",
    "Keep",
    "Outcome",
    "Plan",
    "Recipe",
    "Request",
    "Run",
    "Selector",
    "Sync",
    "Table",
    "Task",
    "__version__",
    "compile_plan",
    "fit",
    "load_recipe",
    "load_runs",
    "parse_recipe",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("fewer")
    elif name in _MODULE:
        value = getattr(importlib.import_module(_MODULE[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps `fewer.fit` the function: importing the module of that name would put itself in its place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _MODULE and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
