"""Things found by their file's name: a folder in which one file is one method, or one family of models.

Such a file has a pydantic `Params` and a docstring, which is its card; it imports torch inside functions only, so that
names, parameters and help need no torch. Installed packages add to a folder through the entry point group of its name.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class Folder:
    """The files of a package that are each one thing.

    Args:
        package: The package, such as `fewer.select`.
        noun: What one of them is called in messages.
        group: Entry point group through which other packages add theirs.
        shared: Files that are not one of them.
        key: The key of a recipe's section that names one, left out of its card.
    """

    package: str
    noun: str
    group: str
    key: str
    shared: frozenset[str] = frozenset()

    def names(self) -> list[str]:
        """All names: the folder's files, then those that installed packages add."""
        return list(_names(self.package, self.group, self.shared))

    def module(self, name: str) -> Any:
        """The file of this name.

        Raises:
            KeyError: There is none.
        """
        if name not in self.names():
            raise KeyError(f'no {self.noun} "{name}"; there are {", ".join(self.names())}')
        if entry := _installed(self.group).get(name):
            return entry.load()
        return importlib.import_module(f"{self.package}.{name}")

    def params(self, name: str) -> type[BaseModel]:
        """The pydantic class of a file's parameters."""
        found: type[BaseModel] = self.module(name).Params
        return found

    def card(self, name: str) -> dict[str, Any]:
        """What a file says of itself: summary, description, and parameters with default and help."""
        found = self.module(name)
        summary, _, description = inspect.cleandoc(found.__doc__).partition("\n\n")
        parameters = {
            key: {"default": str(field.default), "help": field.description or ""}
            for key, field in found.Params.model_fields.items()
            if key != self.key
        }
        return {"summary": " ".join(summary.split()), "description": description, "parameters": parameters}


@cache
def files(package: str, shared: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Names of a package's files, sorted, but for those that are `shared` by the others."""
    path = importlib.import_module(package).__path__
    return tuple(sorted(module.name for module in pkgutil.iter_modules(path) if module.name not in shared))


@cache
def _names(package: str, group: str, shared: frozenset[str]) -> tuple[str, ...]:
    own = files(package, shared)
    return (*own, *sorted(name for name in _installed(group) if name not in own))


@cache
def _installed(group: str) -> dict[str, EntryPoint]:
    """What installed packages add; looked up once, since that reads every package's metadata."""
    return {entry.name: entry for entry in entry_points(group=group)}
