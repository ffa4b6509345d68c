"""Keys that are right one by one but not together."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.core.errors import RecipeError
from fewer.recipe.parse import parse_recipe

DIGITS = {"data": {"source": "digits"}, "model": {"name": "lenet5"}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"augment": {"mix_share": 0.5}}, "augment.mix_share = 0.5 has no effect without augment.mixup_alpha or"),
        ({"augment": {"cutmix_alpha": 1.0, "cutmix_share": 0.7}}, "only one of them has an alpha; leave it out"),
        ({"augment": {"mixup_alpha": -1.0}}, "augment.mixup_alpha"),
        ({"augment": {"mixup_alpha": 0.2, "mix_until": "5step"}}, 'only "ep" and "%" are known before training'),
        ({"augment": {"mixup_alpha": 0.2, "mix_until": "99ep"}}, "longer than the run of 10 epochs"),
        ({"augment": {"mixup_alpha": 0.2}, "task": {"loss": "focal"}}, 'task.loss = "focal" is defined for one label'),
        ({"stages": [{"epochs": 2}, {"epochs": 2, "mix": 0.5}]}, "stages.1.mix = 0.5 has no effect"),
        ({"augment": {"mixup_alpha": 0.2}, "stages": [{"epochs": 2, "mix": 1.5}]}, "stages.0.mix = 1.5"),
        ({"stages": [{"epochs": 1, "strength": [0.5, 1.0]}]}, "the stage has one; give it epochs = 2 or more"),
        ({"stages": [{"epochs": 2, "strength": 1.5}]}, "stages.0.strength = 1.5"),
        ({"stages": [{"epochs": 2, "strength": [0.5]}]}, "a number from 0 to 1, or two"),
        ({"stages": [{"epochs": 2, "strength": [0.5, 2.0]}]}, "stages.0.strength"),
        ({"stages": [{"epochs": 2, "strength": True}]}, "stages.0.strength"),
    ],
)
def test_mixing_that_cannot_be_is_refused(content: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**DIGITS, **content})
    assert [said in problem for problem in caught.value.problems] == [True]


WHOLE = {**DIGITS, "model": {"name": "fcos_mobilenet_v2"}, "task": {"name": "detect"}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"augment": {"crop": "random_resized"}}, "zoom by augment.scale"),
        ({"augment": {"mixup_alpha": 0.2}}, 'gives images two labels, and task.name = "detect"'),
        ({"train": {"label_smoothing": 0.1}}, 'label_smoothing = 0.1 is not defined for task.name = "detect"'),
        ({"augment": {"mosaic": 0.5}, "stages": [{"epochs": 1, "strength": 0.0, "mix": 1.0}]}, "strength above 0"),
        (
            {"augment": {"mosaic": 0.5}, "stages": [{"epochs": 2, "strength": [1.0, 0.0], "mix": 1.0}]},
            "strength above 0",
        ),
        ({"select": {"method": "dbpd", "score": "fresh", "scorer_side_px": 32}}, "shrinks images"),
        ({"augment": {"mosaic": 1.5}}, "augment.mosaic = 1.5"),
    ],
)
def test_what_whole_pictures_cannot_be_given_is_refused(content: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**WHOLE, **content})
    assert [said in problem for problem in caught.value.problems] == [True]


def test_void_ids_belong_to_masks() -> None:
    with pytest.raises(RecipeError, match="only masks have ids that can be void"):
        parse_recipe({**DIGITS, "data": {"source": "digits", "ignore_index": 0}})


def test_only_boxes_of_voc_and_coco_can_be_difficult() -> None:
    for source in ("voc:x", "coco:x", "lists:x"):
        assert parse_recipe({**WHOLE, "data": {"source": source, "difficult": "use"}}).data.difficult == "use"
    parse_recipe({**WHOLE, "data": {"source": "yolo:x", "test": "voc:y", "difficult": "use"}})
    for source in ("yolo:x", "digits", "masks:x"):
        with pytest.raises(RecipeError, match="only boxes of VOC and COCO can be marked as difficult"):
            parse_recipe({**WHOLE, "data": {"source": source, "difficult": "ignore"}})


def test_only_masks_are_drawn_by_chance() -> None:
    for source in ("masks:x", "lists:x"):
        content = {"data": {"source": source, "strata": "none"}, "model": {"name": "lraspp_mobilenet_v2"}}
        assert parse_recipe({**content, "task": {"name": "segment"}}).data.strata == "none"
    with pytest.raises(RecipeError, match="only masks are drawn by chance"):
        parse_recipe({**DIGITS, "data": {"source": "digits", "strata": "none"}})


def test_mosaics_belong_to_boxes_and_masks() -> None:
    parse_recipe({**WHOLE, "augment": {"mosaic": 0.5, "copy_paste": 0.2, "mix_until": "90%"}})
    with pytest.raises(RecipeError, match="moves boxes and masks"):
        parse_recipe({**DIGITS, "augment": {"copy_paste": 0.2}})


def test_two_crops_and_turned_bounds_are_refused_together() -> None:
    augment = {"crop": "random_resized", "crop_padding_px": 2, "crop_scale": [0.5, 0.1], "crop_ratio": [2.0, 1.0]}
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**DIGITS, "augment": augment})
    message = str(caught.value)
    assert "crop_padding_px = 2" in message
    assert "crop_scale = [0.5, 0.1]" in message
    assert "crop_ratio = [2, 1]" in message


def test_averages_that_cannot_follow_syncs_are_refused_with_local_methods() -> None:
    content = {**DIGITS, "train": {"lookahead": {}, "ema": "1ep"}, "sync": {"method": "local_sgd"}}
    with pytest.raises(RecipeError, match=r"train\.lookahead needs equal weights behind every step") as caught:
        parse_recipe(content)
    assert len(caught.value.problems) == 1
    parse_recipe({**content, "train": {"ema": "1ep"}})
