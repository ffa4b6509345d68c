"""Recipes that run folders keep, also those that older versions wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fewer.recipe.parse import parse_recipe
from fewer.recipe.recorded import read_recorded


@pytest.mark.parametrize(
    ("val", "notes", "wanted"),
    [
        ("5%", [], "auto"),
        ("10%", [], "10%"),
        ("10%", ["val is the folder val/ of folder:x (3 images)"], "auto"),
        ("none", [], "none"),
    ],
)
def test_an_older_run_keeps_its_classes_and_its_validation_set(
    tmp_path: Path, val: str, notes: list[str], wanted: str
) -> None:
    file = tmp_path / "recipe.resolved.toml"
    file.write_text(f'[data]\nsource = "folder:/x"\nval = "{val}"\n[model]\nname = "lenet5"\n')
    (tmp_path / "plan.json").write_text(json.dumps({"notes": notes}))
    data = parse_recipe(read_recorded(file)[0]).data
    assert (data.class_level, data.val) == ("innermost", wanted)


@pytest.mark.parametrize(("source", "wanted"), [("voc:/x", "use"), ("coco:/x", "use"), ("yolo:/x", "train")])
def test_an_older_run_counts_difficult_objects(tmp_path: Path, source: str, wanted: str) -> None:
    file = tmp_path / "recipe.resolved.toml"
    head = f'[data]\nsource = "{source}"\n{{}}[task]\nname = "detect"\n[model]\nname = "fcos_mobilenet_v2"\n'
    file.write_text(head.format(""))
    assert parse_recipe(read_recorded(file)[0]).data.difficult == wanted
    file.write_text(head.format('difficult = "train"\n'))
    assert parse_recipe(read_recorded(file)[0]).data.difficult == "train", "today's say it"


@pytest.mark.parametrize(("source", "wanted"), [("masks:/x", "none"), ("voc:/x", "auto"), ("folder:/x", "auto")])
def test_an_older_run_of_masks_was_drawn_by_chance(tmp_path: Path, source: str, wanted: str) -> None:
    file = tmp_path / "recipe.resolved.toml"
    file.write_text(f'[data]\nsource = "{source}"\n')
    assert read_recorded(file)[0]["data"].get("strata", "auto") == wanted


def test_todays_run_keeps_all_as_written(tmp_path: Path) -> None:
    recipe = parse_recipe({"data": {"source": "folder:/x", "val": "5%", "class_level": 2}, "model": {"name": "lenet5"}})
    (tmp_path / "recipe.resolved.toml").write_text(recipe.to_toml())
    assert parse_recipe(read_recorded(tmp_path / "recipe.resolved.toml")[0]) == recipe
