"""What a selector may know of the training images: groups by the task, and the classes that boxes show."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from dense_data import mask_data
from fewer.core.objects import ObjectTable
from fewer.data.listing.splits import Split
from fewer.recipe.parse import parse_recipe
from fewer.session.build import open_data
from fewer.session.selector import population_of, selector_of, shown_classes


def test_in_classification_groups_are_the_classes_and_boxes_are_none() -> None:
    recipe = parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}})
    splits = open_data(recipe)
    found = population_of(recipe, splits)
    assert torch.equal(found.group_N, splits.train.label_N)
    assert (found.groups, found.groups_are_classes, found.shown) == (10, True, None)


def test_masks_are_read_for_a_method_that_asks_what_they_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = mask_data(tmp_path / "data", 6).split.source.name
    content: dict[str, Any] = {"data": {"source": source, "test": "none", "val": "none"}}
    content |= {"model": {"name": "lraspp_mobilenet_v2"}, "task": {"name": "segment"}}
    plain = parse_recipe(content)
    assert population_of(plain, open_data(plain)).shown is None
    recipe = parse_recipe({**content, "select": {"method": "repeat_factor"}})
    splits = open_data(recipe)
    shown = population_of(recipe, splits).shown
    assert shown is not None
    expected = [(id, c) for id in range(6) for c in np.unique(splits.train.source.read_mask(id)).tolist() if c < 255]
    assert list(zip(shown.id_P.tolist(), shown.class_P.tolist(), strict=True)) == expected
    assert len(expected) == 12
    assert selector_of(recipe, splits).select is not None


def test_an_image_shows_each_class_of_its_boxes_once() -> None:
    """Image 0 has two boxes of class 1 and one of class 0, image 1 none, image 2 a crowd, image 3 is held out."""
    boxes = [([[0, 0, 2, 2]] * len(classes), classes) for classes in ([1, 0, 1], [], [0], [1])]
    objects = ObjectTable.of(boxes)
    objects.crowd_A[3] = True
    label_N = torch.tensor([1, 0, 0, -1])
    train: Any = SimpleNamespace(source=SimpleNamespace(objects=objects), label_N=label_N)
    shown = shown_classes(cast(Split, train), 2)
    assert shown is not None
    assert list(zip(shown.id_P.tolist(), shown.class_P.tolist(), strict=True)) == [(0, 0), (0, 1)]
    assert shown.classes == 2
