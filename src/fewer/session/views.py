"""The views of images that a plan asks for."""

from __future__ import annotations

from dataclasses import fields

from fewer.data.augment import Augment
from fewer.data.augment.random_resized_crop import RandomResizedCrop
from fewer.data.settings import ViewSettings
from fewer.plan.plan import Plan


def views_of(plan: Plan, split: str) -> ViewSettings:
    """What views of a split's images differ by: "train", "val" or "test"."""
    asked, keys = plan.recipe.augment, {field.name for field in fields(Augment)}
    # Held-out images are only ever seen whole.
    crops = split == "train" and asked.crop == "random_resized"
    return ViewSettings(
        Augment(**asked.model_dump(include=keys), reference_side_px=plan.largest_side_px),
        RandomResizedCrop(asked.crop_scale, asked.crop_ratio) if crops else None,
        plan.recipe.train.seed_of_data,
        plan.facts.data.aspect,
    )
