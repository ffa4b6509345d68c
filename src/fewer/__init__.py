"""Train vision models to the same accuracy with fewer samples, pixels, steps and bytes, and see what it cost.

These names are the public surface; each is imported at its first use, so that `import fewer` does not import torch.
Names for writing a selection method are in `fewer.select`; those that were public here are still found. Every other
module can be imported by its own name (`fewer.core.rng`), and may change between versions.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewer.api.models import Prediction as Prediction
    from fewer.api.models import load_model as load_model
    from fewer.api.models import predict as predict
    from fewer.api.training import RunResult as RunResult
    from fewer.api.training import fit as fit
    from fewer.api.training import resume as resume
    from fewer.compare.frames import load_runs as load_runs
    from fewer.core.errors import FewerError as FewerError
    from fewer.core.observation import Outcome as Outcome
    from fewer.core.protocols import Comm as Comm
    from fewer.core.protocols import Data as Data
    from fewer.core.protocols import Selector as Selector
    from fewer.core.protocols import Sync as Sync
    from fewer.core.protocols import Task as Task
    from fewer.core.table import Table as Table
    from fewer.core.types import At as At
    from fewer.core.types import Batch as Batch
    from fewer.core.types import Expectation as Expectation
    from fewer.core.types import KeepMask as KeepMask
    from fewer.core.types import Request as Request
    from fewer.core.types import Selection as Selection
    from fewer.plan.compile import compile_plan as compile_plan
    from fewer.plan.plan import Plan as Plan
    from fewer.recipe.parse import load_recipe as load_recipe
    from fewer.recipe.parse import parse_recipe as parse_recipe
    from fewer.recipe.schema import Recipe as Recipe
    from fewer.recipe.shipped import ready_recipe as ready_recipe
    from fewer.select.own_loop.chooser import Chooser as Chooser
    from fewer.training.loop import train as train
    from fewer.training.run import Run as Run

    __version__: str

_HOME = {
    "fewer.api.models": ("Prediction", "load_model", "predict"),
    "fewer.api.training": ("RunResult", "fit", "resume"),
    "fewer.compare.frames": ("load_runs",),
    "fewer.core.errors": ("FewerError",),
    "fewer.core.protocols": ("Comm", "Data", "Selector", "Sync", "Task"),
    "fewer.core.table": ("Table",),
    "fewer.core.observation": ("Outcome",),
    "fewer.core.types": ("At", "Batch", "Selection", "Expectation", "KeepMask", "Request"),
    "fewer.plan.compile": ("compile_plan",),
    "fewer.plan.plan": ("Plan",),
    "fewer.recipe.parse": ("load_recipe", "parse_recipe"),
    "fewer.recipe.schema": ("Recipe",),
    "fewer.recipe.shipped": ("ready_recipe",),
    "fewer.select.own_loop.chooser": ("Chooser",),
    "fewer.training.loop": ("train",),
    "fewer.training.run": ("Run",),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Batch",
    "Chooser",
    "Comm",
    "Data",
    "FewerError",
    "Outcome",
    "Plan",
    "Prediction",
    "Recipe",
    "Request",
    "Run",
    "RunResult",
    "Selector",
    "Sync",
    "Table",
    "Task",
    "__version__",
    "compile_plan",
    "fit",
    "load_model",
    "load_recipe",
    "load_runs",
    "parse_recipe",
    "predict",
    "ready_recipe",
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
