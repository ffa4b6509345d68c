"""Models by name: those of this package, any torchvision classifier, and `timm:NAME`.

One file a family in `families/`, which says what such a file has. Networks of our own live beside the folder. Installed
packages add families through the entry point group `fewer.models`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fewer.models.base import ModelParams
from fewer.models.registry import FAMILIES, MODELS

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ModelParams", "build", "card", "family", "family_names", "family_params", "hint", "names", "params"]


def family_names() -> list[str]:
    """All families: their files, then those that installed packages add."""
    return FAMILIES.names()


def card(name: str) -> dict[str, Any]:
    """The card of a family: summary, description, and keys with default and help."""
    return FAMILIES.card(name)


def family_params(name: str) -> type[ModelParams]:
    """The pydantic class of a family's keys."""
    found: type[ModelParams] = FAMILIES.params(name)
    return found


def names() -> list[str]:
    """The names of all models, our own first."""
    return MODELS.names()


def family(name: str) -> Any:
    """The file of a model's family.

    Raises:
        KeyError: No model has this name.
    """
    return MODELS.module(name)


def params(name: str) -> type[ModelParams]:
    """The pydantic class of a model's keys, those of its family.

    Raises:
        KeyError: No model has this name.
    """
    found: type[ModelParams] = MODELS.params(name)
    return found


def hint(name: str) -> str:
    """What to do about a name that no model has."""
    return MODELS.hint(name)


def build(name: str, classes: int, side_px: int, **options: Any) -> nn.Module:
    """A model with fresh weights, drawn from torch's current stream.

    Args:
        name: One of `names()`.
        classes: Number of outputs.
        side_px: The largest side it will be trained at.
        options: The keys of `[model]` but the name; `weights` is read by the caller, not here.

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
