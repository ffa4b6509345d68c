"""Batches that grow in place of a falling rate (Smith et al., ICLR 2018): by how much in each epoch, from the schedule.

"Don't decay the learning rate, increase the batch size": the noise of SGD goes with rate / batch, so a batch twice as
large anneals as half the rate does, in half the steps. Batches grow by doubling, between epochs, which is where a plan,
its price and a checkpoint can carry them exactly. The rest of the schedule's fall stays with the rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from fewer.core.types import Stage
from fewer.optim import lr_shape
from fewer.optim.shapes import TINY, Shape
from fewer.plan.facts import Facts
from fewer.recipe.schema import Recipe

_PARTS = 20  # moments of an epoch at which the schedule's peak is looked for


def with_growth(recipe: Recipe, stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The stages with the growth of their batches, where `train.batch_ramp` asks for it."""
    largest = recipe.train.batch_ramp
    if largest == "off":
        return tuple(stages)
    halvings = _halvings(recipe, stages)
    found = []
    for stage in stages:
        room = max(0, int(math.log2(largest / stage.batch_size) + TINY))
        epochs = halvings[stage.first_epoch : stage.first_epoch + stage.epochs]
        growth = tuple(2 ** min(room, each) for each in epochs)
        found.append(replace(stage, batch_growth=growth if max(growth) > 1 else ()))
    return tuple(found)


def growth_problems(recipe: Recipe, facts: Facts, stages: Sequence[Stage]) -> list[str]:
    """A largest batch that leaves no room for growth, and batches of more images than an epoch shows."""
    largest = recipe.train.batch_ramp
    if largest == "off":
        return []
    text, smallest = f"train.batch_ramp = {largest}", min(stage.batch_size for stage in stages)
    if largest < 2 * smallest:
        return [f"{text} leaves batches of {smallest} no room to double; use {2 * smallest} or more, or leave it out"]
    for stage in stages:
        shown = math.floor(facts.data.train_images * stage.data_share)
        # Where the first batch is already too large, `batch_size` is refused itself.
        if stage.batch_size <= shown < stage.largest_batch_size:
            epochs = range(stage.first_epoch, stage.first_epoch + stage.epochs)
            epoch = next(each for each in epochs if stage.batch_size_at(each) > shown)
            what = f"{text} makes batches of {stage.batch_size_at(epoch)} in epoch {epoch + 1}"
            return [f"{what}, which has {shown} training images; use at most {shown}"]
    return []


def growth_note(recipe: Recipe, stages: Sequence[Stage]) -> str:
    """From which epoch on batches have which size; empty where none was asked to grow."""
    if recipe.train.batch_ramp == "off":
        return ""
    what = f"train.batch_ramp = {recipe.train.batch_ramp}"
    sizes = [stage.batch_size_at(stage.first_epoch + nth) for stage in stages for nth in range(stage.epochs)]
    if not any(stage.batch_growth for stage in stages):
        return f"warning: {what} changes nothing, as the schedule halves the rate before no epoch"
    return f"{what}: batches of {', '.join(_spans(sizes))}; the rate falls by what is left"


def _spans(sizes: Sequence[int]) -> Iterator[str]:
    first = 1
    for size, epochs in groupby(sizes):
        yield f"{size} from epoch {first}"
        first += len(list(epochs))


def _halvings(recipe: Recipe, stages: Sequence[Stage]) -> list[int]:
    """How often the schedule has halved the rate since its peak, before each epoch of the run."""
    train, epochs = recipe.train, sum(stage.epochs for stage in stages)
    lengths = [stage.epochs for stage in stages] if train.schedule_over == "stage" else [epochs]
    return [halvings for length in lengths for halvings in halved(lr_shape(train, length), length)]


def halved(shape: Shape, epochs: int) -> list[int]:
    """How often a schedule has halved the rate since its peak so far, before each epoch.

    Args:
        shape: The rate as a share of the largest, a function of progress.
        epochs: Epochs that it goes over.

    Returns:
        A whole number for each epoch; before the peak none, and for a rate of zero as good as endless.
    """
    peak, found = 0.0, []
    for epoch in range(epochs):
        rate = shape(epoch / epochs)
        peak = max(peak, rate)
        found.append(int(math.log2(peak / rate) + TINY) if rate > 0 else 10**6)
        peak = max(peak, *(shape((epoch + part / _PARTS) / epochs) for part in range(1, _PARTS)))
    return found
