"""The evaluations of a run, as a list: validation during training, and what is measured once at its end."""

from __future__ import annotations

from fewer.core.types import Evaluate, Stage


def evaluations_of(
    stages: tuple[Stage, ...], every: int, has_val: bool, has_test: bool, is_averaged: bool
) -> tuple[Evaluate, ...]:
    """The evaluations that a run makes, in their order.

    Each stage is validated at its own evaluation side, since a model that was trained on small images means little on
    large ones; what is published is evaluated at the side of the last stage.

    Args:
        stages: The run's stages.
        every: Epochs between two validations; 0: only at the end.
        has_val: Whether there are validation images.
        has_test: Whether there are test images.
        is_averaged: Whether the weights that are published are averages.
    """
    side_px, found = stages[-1].evaluation_side_px, list[Evaluate]()
    if has_val:
        found.append(Evaluate("val", "val", every=every))
        # The published model is a point of its own, not one of the curve over the epochs.
        found.append(Evaluate("val/best", "val", "best", side_px=side_px))
    if has_test:
        found.append(Evaluate("test", "test", "best", side_px=side_px))
        found.append(Evaluate("test/last", "test", "last", side_px=side_px))
        if is_averaged:
            found.append(Evaluate("test/raw", "test", "last", "raw", "running", side_px))
    return tuple(found)
