"""The table of a plan's stages, as rows of text."""

from __future__ import annotations

import math
from collections.abc import Iterator

from fewer.plan.plan import Plan


def table(plan: Plan) -> Iterator[tuple[str, ...]]:
    """A header, then a row a stage: epochs, side, batch size, steps, learning rate."""
    yield ("stage", "epochs", "side_px", "batch_size", "steps/epoch", "lr first → last")
    for stage in plan.stages:
        steps = math.ceil(plan.shown_images(stage.first_epoch) / stage.batch_size)
        first, last = stage.first_epoch, stage.first_epoch + stage.epochs - 1
        factors = [plan.lr_factor(plan.at(e, b, steps).progress, stage) for e, b in ((first, 0), (last, steps - 1))]
        rates = [f"{factor:.4g} × auto" if plan.lr is None else f"{plan.lr * factor:.4g}" for factor in factors]
        yield (
            str(stage.index + 1),  # people count from 1, keys such as stages.0.side_px from 0
            f"{first + 1}-{last + 1}",
            stage.sides_text,
            str(stage.batch_size),
            str(steps),
            f"{rates[0]} → {rates[1]}",
        )
