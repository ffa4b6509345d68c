"""Recipes and invented facts for tests of plans: a sample costs one FLOP a pixel forward and two backward."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from fewer.plan.facts import DataFacts, Facts, MachineFacts, ModelFacts
from fewer.plan.flops import Flops
from fewer.recipe.parse import parse_recipe
from fewer.recipe.schema import Recipe


def facts(**changed: Any) -> Facts:
    """A thousand images of 32 px and two classes, on a machine of one core; any fact of the three kinds may differ."""
    known: dict[str, Any] = {
        "train_images": 1000,
        "val_images": 0,
        "test_images": 100,
        "classes": ("a", "b"),
        "native_side_px": 32,
        "flops": {side: (Flops(0, side * side, 2 * side * side),) for side in range(8, 257)},
        "plain_sample_flops": 3 * 32 * 32,
        "parameters": 10,
        **changed,
    }
    data, model, machine = (
        kind(**{field.name: known.pop(field.name) for field in fields(kind) if field.name in known})
        for kind in (DataFacts, ModelFacts, MachineFacts)
    )
    return Facts(data, model, machine, **known)


def recipe(**sections: Any) -> Recipe:
    """A recipe of `lenet5` on digits, with these sections."""
    return parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}, **sections})
