"""Registries of plug-ins: one a kind, in which a file of a folder, or of an installed package, is one plug-in.

A plug-in's file is a module with

- a docstring: its card, of which the first paragraph is the summary;
- `Params`: the pydantic class of its keys (`fewer.core.config.Section`);
- `build(params, ...)`: what its kind says that it returns;
- `NEUTRAL`: settings at which it equals plain training, a list of dicts; left out where it has none;
- `EXAMPLES`: valid settings for random trials, likewise.

It imports torch inside functions only, so that names, parameters and cards need no torch.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from fewer.core.help import help_of
from fewer.core.messages import nearest

Settings = dict[str, Any]


@cache
def _all_installed() -> Any:
    """The entry points of all groups; looked up once, since that reads every package's metadata."""
    return entry_points()


class Registry:
    """The plug-ins of one kind.

    Args:
        package: The package whose files are plug-ins, all of them, such as `fewer.select.methods`.
        noun: What one is called in messages.
        group: The entry point group through which installed packages add theirs.
        key: The key of a recipe's section that names one; empty where none does.
        aliases: Deprecated spellings of names, to the names.
    """

    def __init__(self, package: str, noun: str, group: str, key: str = "", aliases: Mapping[str, str] = {}) -> None:
        self.package, self.noun, self.group, self.key, self.aliases = package, noun, group, key, aliases
        self._modules: dict[str, Any] = {}

    @cached_property
    def own(self) -> tuple[str, ...]:
        """Names of the package's own files, sorted."""
        return tuple(
            sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__))
        )

    @cached_property
    def _installed(self) -> dict[str, EntryPoint]:
        """What installed packages add."""
        return {entry.name: entry for entry in _all_installed().select(group=self.group) if entry.name not in self.own}

    def names(self) -> list[str]:
        """All names: the package's own files, then those that installed packages add."""
        return [*self.own, *sorted(self._installed)]

    def canonical(self, name: str) -> str:
        """The name that a deprecated spelling stands for; any other text as it is."""
        return self.aliases.get(name, name)

    def recorded(self, name: str) -> str:
        """A name's first spelling: hashes of recipes go on to know it by that, so that results of before are found."""
        return next((old for old, new in self.aliases.items() if new == name), name)

    def hint(self, name: str) -> str:
        """What to do about a name that is none."""
        return nearest(name, self.names())

    def module(self, name: str) -> Any:
        """The file of this name, or of this deprecated spelling.

        Raises:
            KeyError: There is none.
        """
        name = self.canonical(name)
        if name not in self._modules:
            self._modules[name] = self._loaded(name)
        return self._modules[name]

    def _loaded(self, name: str) -> Any:
        if name in self.own:
            return importlib.import_module(f"{self.package}.{name}")
        if name in self._installed:
            return self._installed[name].load()
        raise KeyError(f'no {self.noun} "{name}"; {self.hint(name)}')

    def params(self, name: str) -> type[Any]:
        """The pydantic class of a plug-in's keys.

        Raises:
            KeyError: There is none of this name.
        """
        found: type[Any] = self.module(name).Params
        return found

    def card(self, name: str) -> dict[str, Any]:
        """The card of a plug-in: summary, description, and keys with default and help."""
        found = self.module(name)
        summary, _, description = inspect.cleandoc(found.__doc__).partition("\n\n")
        helps = help_of(found.Params)
        parameters = {
            key: {"default": str(field.default), "help": helps.get(key, "")}
            for key, field in found.Params.model_fields.items()
            if key != self.key
        }
        return {"summary": " ".join(summary.split()), "description": description, "parameters": parameters}

    def neutral(self) -> list[Settings]:
        """Settings at which plug-ins of the package equal plain training, by name and in the order of their files."""
        return self._settings("NEUTRAL")

    def examples(self) -> list[Settings]:
        """Valid settings of the package's plug-ins, likewise."""
        return self._settings("EXAMPLES")

    def _settings(self, constant: str) -> list[Settings]:
        return [
            {**({self.key: name} if self.key else {}), **settings}
            for name in self.own
            for settings in getattr(self.module(name), constant, ())
        ]
