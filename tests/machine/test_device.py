"""What a run makes of its machine, and that none of it is part of what it does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fewer.core.errors import RecipeError
from fewer.machine.device import DeviceSettings, Loading, choose_device_settings, choose_loading
from fewer.plan.plan import compile_plan
from fewer.recipe.parse import parse_recipe
from fewer.session.build import make_plan, open_data

DIGITS = {"data": {"source": "digits", "cache": "no"}, "model": {"name": "lenet5", "width": 0.1}}


def test_images_stay_in_memory_where_they_fit_for_all_ranks() -> None:
    assert choose_loading("auto", "auto", 100, 300, "cpu", 8, 1) == Loading(True, 0, 0, 8)
    assert choose_loading("auto", "auto", 100, 299, "cpu", 8, 1) == Loading(False, 4, 8, 8)
    assert not choose_loading("auto", "auto", 100, 599, "cpu", 8, 2).in_memory
    assert choose_loading("auto", "auto", 100, None, "cpu", 8, 1).in_memory
    assert choose_loading("yes", "auto", 100, 1, "cpu", 8, 1).in_memory
    assert choose_loading("no", 0, 100, None, "cpu", 2, 1) == Loading(False, 0, 0, 2)


def test_processes_are_shared_among_ranks() -> None:
    assert choose_loading("no", 6, 0, None, "cpu", 8, 4).processes == 2
    assert choose_loading("no", "auto", 0, None, "cuda", 8, 2).processes == 4
    assert choose_loading("no", "auto", 0, None, "cpu", 2, 2).processes == 1


def test_device_settings_give_way_to_determinism() -> None:
    assert choose_device_settings("cpu", False, False) == DeviceSettings()
    assert choose_device_settings("cuda", False, False) == DeviceSettings(True, True, True, True)
    assert choose_device_settings("cuda", True, True) == DeviceSettings()


def test_how_images_are_read_is_no_part_of_the_digest() -> None:
    recipe = parse_recipe(DIGITS)
    plan = make_plan(recipe, open_data(recipe))
    assert plan.loading.in_memory
    other = parse_recipe({**DIGITS, "data": {**DIGITS["data"], "in_memory": "no", "processes": 3}})
    anew = compile_plan(other, replace(plan.facts, cores=2))
    assert (anew.loading.processes, anew.digest) == (3, plan.digest)
    assert anew.as_json()["loading"]["prefetched_batches"] == 6
    assert anew.predicted["samples_decoded"] > plan.predicted["samples_decoded"]
    cropped = parse_recipe({**DIGITS, "augment": {"crop": "random_resized"}})
    assert compile_plan(cropped, plan.facts).digest != plan.digest


def test_two_crops_and_turned_bounds_are_refused_together() -> None:
    augment = {"crop": "random_resized", "crop_padding_px": 2, "crop_scale": [0.5, 0.1], "crop_ratio": [2.0, 1.0]}
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**DIGITS, "augment": augment})
    message = str(caught.value)
    assert "crop_padding_px = 2" in message
    assert "crop_scale = [0.5, 0.1]" in message
    assert "crop_ratio = [2, 1]" in message
