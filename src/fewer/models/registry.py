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
            found |= {name: each for name in _listed(each) if name not in found}
        return found

    def names(self) -> list[str]:
        """The names of all models, our own first."""
        of = self.family_of
        return sorted(of, key=lambda name: (of[name] != name, ":" in name, name))

    def _loaded(self, name: str) -> Any:
        for each in FAMILIES.names():
            family = FAMILIES.module(each)
            # The names of a large library are read from hundreds of files, so families are asked one by one.
            if name.startswith(prefix := getattr(family, "PREFIX", "")):
                plain = name.partition(".")[0] if prefix else name  # a tag says which weights
                if plain in _listed(each):
                    return family
        raise KeyError(f'no model "{name}"; {self.hint(name)}')

    def hint(self, name: str) -> str:
        """What to do about a name that no model has."""
        if name.startswith("timm:") and find_spec("timm") is None:
            return "models of timm need its package: pip install timm"
        if name.startswith("smp:") and find_spec("segmentation_models_pytorch") is None:
            return "models of smp need its package: pip install segmentation-models-pytorch"
        if close := closest(name, self.names()):
            return f'did you mean "{close}"?'
        own = [each for each in self.names() if self.family_of[each] == each]
        return f'allowed: {", ".join(own[:_MOST_SHOWN])}, a torchvision classifier ("resnet18"), or "timm:NAME"'


def _listed(family: str) -> list[str]:
    names: list[str] = getattr(FAMILIES.module(family), "names", lambda: [family])()
    return names


MODELS = Models("fewer.models.families", "model", "fewer.models", "name")
