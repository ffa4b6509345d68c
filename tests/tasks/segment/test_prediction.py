"""Masks as text, JSON, cells, files and pictures."""

from __future__ import annotations

import io
import json

import numpy as np
from PIL import Image

from fewer.tasks.segment.prediction import MaskFormat, MaskPrediction

NAMES = ("road", "s\x1bky", "tree")
IDS = np.array([[0, 0, 0, 2], [0, 0, 1, 2]], np.uint8)


def test_main_classes_come_first() -> None:
    form, found = MaskFormat(NAMES, 2), MaskPrediction(IDS)
    assert form.text(found) == "road 62.5%  tree 25.0%"
    assert form.columns == ("class", "share", "class_2", "share_2")
    assert form.cells(found) == ["road", "0.625000", "tree", "0.250000"]
    assert form.cells(MaskPrediction(IDS[:, :2])) == ["road", "1.000000", "", ""]
    shown = json.loads(json.dumps(form.json(found)))
    assert (shown["class"], shown["share"], shown["width"], shown["height"]) == ("road", 0.625, 4, 2)
    assert [each["class"] for each in shown["classes"]] == ["road", "tree", "s\x1bky"]
    assert "\x1b" not in MaskFormat(NAMES, 3).text(found)


def test_the_mask_holds_the_ids_themselves() -> None:
    with Image.open(io.BytesIO(MaskFormat(NAMES, 1).mask(MaskPrediction(IDS)))) as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), IDS)


def test_the_main_class_is_the_caption_and_its_colour_lies_over_the_picture() -> None:
    thumbnail = Image.new("RGB", (60, 60), (10, 20, 30))
    caption = MaskFormat(NAMES, 2).draw(thumbnail, MaskPrediction(np.full((20, 40), 2, np.uint8)))
    assert (caption.label, caption.number, caption.share) == ("tree", 2, 1.0)
    values = np.asarray(thumbnail)
    assert (values[15:45] != (10, 20, 30)).any(2).all()
    assert (values[:15] == (10, 20, 30)).all()
