"""The table of a plan's stages, as rows of text."""

from __future__ import annotations

import math
from collections.abc import Iterator

from fewer.plan.plan import Plan


def table(plan: Plan) -> Iterator[tuple[str, ...]]:
    """A header, then a row a stage: epochs, side, batch size, steps, learning rate."""
    yield ("stage", "epochs", "side_px", "batch_size", "steps/epoch", "lr first → last")
    for stage in plan.stages:
        first, last = stage.first_epoch, stage.first_epoch + stage.epochs - 1
        steps = [math.ceil(plan.shown_images(epoch) / stage.batch_size_at(epoch)) for epoch in (first, last)]
        moments = plan.at(first), plan.at(last, steps[1] - 1, steps[1])
        factors = [plan.lr_factor(at.progress, stage) for at in moments]
        rates = [f"{factor:.4g} × auto" if plan.lr is None else f"{plan.lr * factor:.4g}" for factor in factors]
        yield (
            str(stage.index + 1),  # people count from 1, keys such as stages.0.side_px from 0
            f"{first + 1}-{last + 1}",
            stage.sides_text,
            stage.batch_text,
            " → ".join(map(str, dict.fromkeys(steps if stage.batch_growth else steps[:1]))),
            f"{rates[0]} → {rates[1]}",
        )
