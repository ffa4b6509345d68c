"""The images of a split, loaded as a plan says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fewer.data.images import ImageData
from fewer.data.listing.splits import Split
from fewer.data.loader import Loader
from fewer.data.settings import InputSettings, ReadSettings
from fewer.machine.precision import weights_dtype
from fewer.plan.plan import Plan
from fewer.session.views import views_of


def images_of(
    plan: Plan,
    name: str,
    split: Split,
    loader: Loader | None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ImageData:
    """The images of a split as a plan loads them: "train", "val" or "test". Nothing is decoded yet."""
    recipe = plan.recipe
    inputs = InputSettings(
        device=plan.facts.machine.device,
        dtype=weights_dtype(plan.precision),
        channels_last=plan.channels_last,
        pin_memory=plan.device_settings.pinned_memory,
    )
    reads = ReadSettings(
        threads=plan.loading.threads,
        damaged=recipe.data.damaged,
        keep_sides=len(plan.kept_sides_px) if name == "train" else 1,
        cache=recipe.data.cache == "auto",
        depth=plan.facts.data.depth,
        store=Path(store.path) if name == "train" and (store := plan.facts.data.store) else None,
        on_progress=on_progress,
    )
    return ImageData(split, views_of(plan, name), inputs, reads, loader)
