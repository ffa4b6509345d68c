"""Models by name: those of this package, any torchvision classifier, and `timm:NAME`.

One file a family in `families/`, found by its name. A family's file has a pydantic `Params`, whose keys are those of
`[model]`, and `build(params, classes, side_px)` that returns a network with fresh weights. It may also have

- `names()`: the models of a library; without it the file's own name is the only one;
- `published(params)`: the library's own weights, for `model.weights = "default"`;
- `adapted(tensors, model)`: weights of another image side made to fit.

A file imports torch inside functions only, so that names, keys and help need no torch; networks of our own live beside
the folder. Families of other packages are found through the entry point group `fewer.models`.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fewer.core.registry import Folder
from fewer.models.base import ModelParams

if TYPE_CHECKING:
    from torch import nn

_FAMILIES = Folder("fewer.models.families", noun="family of models", group="fewer.models", key="name")
_MOST_SHOWN = 12  # names in a message

__all__ = ["ModelParams", "build", "card", "family", "family_names", "family_params", "hint", "names", "params"]


def family_names() -> list[str]:
    """All families: their files, then those that installed packages add."""
    return _FAMILIES.names()


def card(name: str) -> dict[str, Any]:
    """What a family's file says of itself: summary, description, and keys with default and help."""
    return _FAMILIES.card(name)


def family_params(name: str) -> type[ModelParams]:
    """The pydantic class of a family's keys."""
    found: type[ModelParams] = _FAMILIES.params(name)  # type: ignore[assignment]
    return found


@cache
def _family_of() -> dict[str, str]:
    """The family of every model that can be named here and now."""
    found: dict[str, str] = {}
    for each in family_names():
        listed = getattr(_FAMILIES.module(each), "names", lambda each=each: [each])()
        found |= {name: each for name in listed if name not in found}
    return found


def names() -> list[str]:
    """The names of all models, our own first."""
    of = _family_of()
    return sorted(of, key=lambda name: (of[name] != name, ":" in name, name))


def family(name: str) -> Any:
    """The file of a model's family.

    Raises:
        KeyError: No model has this name.
    """
    of = _family_of()
    plain = name.partition(".")[0]  # timm's names may carry a tag that says which weights
    found = of.get(name) or (of.get(plain) if ":" in name else None)
    if found is None:
        raise KeyError(f'no model "{name}"; {hint(name)}')
    return _FAMILIES.module(found)


def params(name: str) -> type[ModelParams]:
    """The pydantic class of a model's keys, those of its family.

    Raises:
        KeyError: No model has this name.
    """
    found: type[ModelParams] = family(name).Params
    return found


def hint(name: str) -> str:
    """What to do about a name that no model has."""
    if name.startswith("timm:") and find_spec("timm") is None:
        return "models of timm need its package: pip install timm"
    close = difflib.get_close_matches(name, names(), n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    own = [each for each in names() if _family_of()[each] == each]
    return f'allowed: {", ".join(own[:_MOST_SHOWN])}, a torchvision classifier ("resnet18"), or "timm:NAME"'


def build(name: str, classes: int, side_px: int, **options: Any) -> nn.Module:
    """A model with fresh weights, drawn from torch's current stream.

    Args:
        name: One of `names()`.
        classes: Number of outputs.
        side_px: The largest side it will be trained at.
        options: The keys of `[model]` but the name; `weights` is read by whoever trains, not here.

    Raises:
        KeyError: No model has this name.
        ValueError: The options are not this model's, or do not suit it.
    """
    checked = params(name)(**{**options, "name": name})
    model: nn.Module = family(name).build(checked, classes, side_px)
    if checked.head == "linear":
        return model
    from fewer.models.cosine_head import normalize_head

    return normalize_head(model, classes, checked.logit_scale_of_head)
