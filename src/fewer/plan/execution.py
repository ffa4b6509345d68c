"""Execution of a run on its machine: where images are kept, who reads them, and what the device does for speed.

None of it changes what the run computes, and none of it is part of the plan's digest.
"""

from __future__ import annotations

from collections.abc import Sequence

from fewer.core.types import Stage
from fewer.machine.device import DeviceSettings, choose_device_settings
from fewer.machine.loading import Loading, choose_loading
from fewer.plan.evaluations import evaluation_side_px
from fewer.plan.facts import DataFacts, MachineFacts
from fewer.recipe.schema import Recipe


def loading_of(
    recipe: Recipe, data: DataFacts, machine: MachineFacts, stages: Sequence[Stage], kept_px: Sequence[int]
) -> Loading:
    """Where a process's images come from.

    Args:
        recipe: What the user asked.
        data: How many images there are, and how large.
        machine: The memory and the cores that there are.
        stages: The sides that are trained on.
        kept_px: The sides that training images are kept at together, where they are kept in memory.
    """
    bytes_needed = decoded_bytes(recipe, data, stages, kept_px)
    free, device, cores, processes = machine.available_bytes, machine.device, machine.cores, machine.processes
    in_memory = recipe.data.in_memory
    if in_memory == "auto" and data.store and recipe.augment.crop == "random_resized":
        in_memory = "no"  # the store is as good as memory, and all processes share it
    return choose_loading(in_memory, recipe.data.processes, bytes_needed, free, device, cores, processes)


def decoded_bytes(recipe: Recipe, data: DataFacts, stages: Sequence[Stage], kept_px: Sequence[int]) -> int:
    """What one process's decoded images take in memory: one byte a channel."""
    evaluated_px = max(stage.evaluation_side_px for stage in stages) ** 2
    held_out = data.val_images * evaluated_px + data.test_images * evaluation_side_px(stages) ** 2
    if recipe.augment.crop == "random_resized":  # whole pictures, most often wider than high
        return 3 * (data.train_images * data.native_side_px**2 * 3 // 2 + held_out)
    pixels = max(max(stage.side_px for stage in stages) ** 2, sum(side**2 for side in kept_px))
    return 3 * (data.train_images * pixels + held_out)


def device_settings_of(recipe: Recipe, device: str, loading: Loading) -> DeviceSettings:
    """What the device does for speed, as far as determinism allows."""
    stays = loading.in_memory and recipe.augment.crop == "shift"
    return choose_device_settings(device, recipe.train.deterministic, stays)
