"""How images are read: kept in memory where they fit, at the sides that are wanted, and no part of the digest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fewer.plan.compile import compile_plan
from fewer.plan.document import plan_json
from fewer.plan.execution import device_settings_of, loading_of
from fewer.plan.stages import stages_of
from fewer.recipe.parse import parse_recipe
from fewer.session.build import make_plan, open_data
from planning import facts, recipe

DIGITS = {"data": {"source": "digits", "cache": "no"}, "model": {"name": "lenet5", "width": 0.1}}


@pytest.mark.parametrize(
    ("crop", "kept_px", "pixels"),
    [
        ("shift", (32,), 1000 * 32**2),
        ("shift", (24, 32), 1000 * (24**2 + 32**2)),
        ("random_resized", (32,), 1000 * 40**2 * 3 // 2),
    ],
)
def test_images_are_kept_where_three_times_their_bytes_are_free(
    crop: str, kept_px: tuple[int, ...], pixels: int
) -> None:
    asked = recipe(stages=[{"epochs": 1, "side_px": side} for side in (32, 16)], augment={"crop": crop})

    def in_memory(available: int, processes: int = 1) -> bool:
        known = facts(val_images=30, native_side_px=40, available_bytes=available, processes=processes)
        return loading_of(asked, known.data, known.machine, stages_of(asked, 40), kept_px).in_memory

    needed = 3 * (pixels + 30 * 32**2 + 100 * 16**2)  # the first stage is validated at its own side
    assert in_memory(3 * needed)
    assert not in_memory(3 * needed - 1)
    assert in_memory(6 * needed, processes=2)
    assert not in_memory(6 * needed - 1, processes=2)


def test_on_a_gpu_batches_are_copied_unless_images_lie_there() -> None:
    def pinned(crop: str, **data: Any) -> bool:
        asked = recipe(data={"source": "digits", **data}, augment={"crop": crop})
        known = facts(device="cuda")
        loading = loading_of(asked, known.data, known.machine, stages_of(asked, 32), (32,))
        return device_settings_of(asked, "cuda", loading).pinned_memory

    assert not pinned("shift")
    assert pinned("random_resized")
    assert pinned("shift", in_memory="no")


def test_how_images_are_read_is_no_part_of_the_digest() -> None:
    recipe = parse_recipe(DIGITS)
    plan = make_plan(recipe, open_data(recipe))
    assert plan.loading.in_memory
    other = parse_recipe({**DIGITS, "data": {**DIGITS["data"], "in_memory": "no", "processes": 3}})
    changed = compile_plan(other, replace(plan.facts, machine=replace(plan.facts.machine, cores=2)))
    assert (changed.loading.processes, changed.digest) == (3, plan.digest)
    assert plan_json(changed)["loading"]["prefetched_batches"] == 6
    assert changed.predicted["samples_decoded"] > plan.predicted["samples_decoded"]
    cropped = parse_recipe({**DIGITS, "augment": {"crop": "random_resized"}})
    assert compile_plan(cropped, plan.facts).digest != plan.digest
