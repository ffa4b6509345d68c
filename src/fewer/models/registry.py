"""The registries of models: families of models, one file each, and the models that they hold."""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from typing import Any

from fewer.core.registry import Registry
from fewer.core.spelling import closest

_MOST_SHOWN = 12  # names in a message
FAMILIES = Registry("fewer.models.families", "family of models", "fewer.models", "name")


class Models(Registry):
    """The models of all families: a model's file is that of its family."""

    @cached_property
    def family_of(self) -> dict[str, str]:
        """The family of every model that can be named here and now."""
        found: dict[str, str] = {}
        for each in FAMILIES.names():
            listed = getattr(FAMILIES.module(each), "names", lambda each=each: [each])()
            found |= {name: each for name in listed if name not in found}
        return found

    def names(self) -> list[str]:
        """The names of all models, our own first."""
        of = self.family_of
        return sorted(of, key=lambda name: (of[name] != name, ":" in name, name))

    def _loaded(self, name: str) -> Any:
        of = self.family_of
        plain = name.partition(".")[0]  # timm's names may carry a tag that says which weights
        found = of.get(name) or (of.get(plain) if ":" in name else None)
        if found is None:
            raise KeyError(f'no model "{name}"; {self.hint(name)}')
        return FAMILIES.module(found)

    def hint(self, name: str) -> str:
        """What to do about a name that no model has."""
        if name.startswith("timm:") and find_spec("timm") is None:
            return "models of timm need its package: pip install timm"
        if close := closest(name, self.names()):
            return f'did you mean "{close}"?'
        own = [each for each in self.names() if self.family_of[each] == each]
        return f'allowed: {", ".join(own[:_MOST_SHOWN])}, a torchvision classifier ("resnet18"), or "timm:NAME"'


MODELS = Models("fewer.models.families", "model", "fewer.models", "name")
