"""Figures of boxes and masks, against counts by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from annotated import coco, dataset, image, mask, photo, thing
from fewer.inspection.annotation_stats import pairs_together
from fewer.inspection.inventory import Inventory, inventory_of
from fewer.inspection.scan import scan
from fewer.inspection.spread import Figures
from fewer.inspection.statistics_page import statistics_page
from fewer.inspection.stats import as_text, statistics
from zoo import Files


def figures_of(text: str) -> tuple[Figures, Inventory]:
    inventory = inventory_of(text)
    figures = statistics(text, inventory, scan(inventory, processes=0))
    assert json.loads(json.dumps(figures)) == figures
    return figures, inventory


def boxes(root: Path) -> str:
    train = [
        thing(1, 1, 0, 0, 4, 4), thing(1, 2, 0, 0, 10, 10), thing(1, 2, 5, 5, 20, 20, iscrowd=1),
        thing(2, 2, 0, 0, 16, 4),
    ]  # fmt: skip
    val = [thing(1, 1, 0, 0, 30, 30), thing(1, 1, 0, 0, 30, 27)]
    names = {1: "ant", 2: "<b>bee</b>"}
    files = {
        "train/0.jpg": photo(0), "train/1.jpg": photo(1), "train/2.jpg": photo(2), "val/3.jpg": photo(3),
        "train.json": coco([image(i + 1, f"train/{i}.jpg") for i in range(3)], train, names),
        "val.json": coco([image(1, "val/3.jpg")], val, names),
    }  # fmt: skip
    return f"coco:{dataset(root, files)}"


def test_boxes_are_counted_by_split_and_class(tmp_path: Path) -> None:
    figures, inventory = figures_of(boxes(tmp_path))
    of = figures["boxes"]
    train, val = of["splits"]["train"], of["splits"]["val"]
    assert [train[key] for key in ("images", "background", "objects", "crowds", "difficult")] == [3, 1, 4, 1, 0]
    assert [val[key] for key in ("images", "background", "objects", "crowds", "difficult")] == [1, 0, 2, 0, 0]
    assert of["classes"] == [
        {"name": "<b>bee</b>", "objects": 3, "splits": {"train": 3, "val": 0}},
        {"name": "ant", "objects": 3, "splits": {"train": 1, "val": 2}},
    ]
    assert train["measures"]["objects"]["max"] == 2, "a crowd is not one object"
    assert (train["measures"]["box_px"]["min"], train["measures"]["box_px"]["max"]) == (4, 20)
    assert val["measures"]["box_px"]["min"] == pytest.approx((30 * 27) ** 0.5)
    assert figures["classes"] == [
        {"name": "<b>bee</b>", "images": 2, "splits": {"train": 2, "val": 0}},
        {"name": "ant", "images": 2, "splits": {"train": 1, "val": 1}},
    ]
    assert inventory.classes == {"<b>bee</b>": 3, "ant": 1}


def test_small_boxes_are_measured_as_a_stage_shows_them(tmp_path: Path) -> None:
    rows = {row["side_px"]: row for row in figures_of(boxes(tmp_path))[0]["boxes"]["splits"]["train"]["small"]}
    sides = np.array([4, 10, 20, 8]) / 40  # of pictures of 40 x 30
    for side_px, row in rows.items():
        for px in (8, 16, 32):
            assert row[f"under_{px}"] == pytest.approx((sides * side_px < px).mean())
    assert (rows[128]["under_16"], rows[128]["under_32"]) == (0.25, 0.5)


def test_classes_of_one_image_are_counted_in_pairs(tmp_path: Path) -> None:
    together = figures_of(boxes(tmp_path))[0]["boxes"]["together"]
    assert together == {"classes": ["ant", "<b>bee</b>"], "images": [[2, 1], [1, 2]]}
    assert pairs_together(together) == [(1 / 3, "<b>bee</b>", "ant", 1)]


def masks(root: Path) -> str:
    files: Files = {"classes.txt": b"sky\nroad\nvoid\n"}
    for at, ids in enumerate(([[0, 0, 1, 2]], [[0, 0, 0, 255]], [[1, 1, 1, 1]], [[9, 9, 9, 9]])):
        part = "train" if at < 2 else "test"
        files |= {f"{part}/{at}.jpg": photo(at, 4, 1), f"{part}annot/{at}.png": mask(ids)}
    return f"masks:{dataset(root, files)}"


def test_pixels_are_counted_by_split_and_class(tmp_path: Path) -> None:
    figures, inventory = figures_of(masks(tmp_path))
    assert figures["masks"] == {
        "splits": {"train": {"images": 2, "pixels": 8, "void": 2, "damaged": 0},
                   "test": {"images": 2, "pixels": 4, "void": 0, "damaged": 1}},
        "classes": [{"name": "road", "pixels": 5, "splits": {"train": 1, "test": 4}},
                    {"name": "sky", "pixels": 5, "splits": {"train": 5, "test": 0}}],
        "together": {"classes": ["sky", "road"], "images": [[2, 1], [1, 2]]},
    }  # fmt: skip
    assert inventory.classes == {"road": 1, "sky": 2}, "training images that show them"


@pytest.mark.parametrize(("make", "lines"), [
    (boxes, ["train: 4 objects; images without one: 1; crowds: 1", "  ant: 3 (50.00%)",
             "  <b>bee</b> and ant: 33% (images: 1)",
             "  in 256 px          0.0% under 8 px, 0.0% under 16 px, 25.0% under 32 px"]),
    (masks, ["train: 8 pixels, 25.0% of them void", "test: 4 pixels, 0.0% of them void; masks of no use: 1",
             "  road: 5 (50.00%)"]),
])  # fmt: skip
def test_the_figures_are_told_and_drawn(tmp_path: Path, make: object, lines: list[str]) -> None:
    assert callable(make)
    figures, inventory = figures_of(make(tmp_path))
    told = list(as_text(figures))
    for line in lines:
        assert line in told
    page = statistics_page(figures, inventory)
    assert "<b>bee</b>" not in page
    sound = sum(not facts.code for part in inventory.parts for facts in getattr(part.annotated, "facts", []))
    assert page.count("data:image/jpeg;base64,") == (sound or len(inventory)), "a mask of no use is not drawn"
    for anchor in ("boxes", "small-boxes") if make is boxes else ("masks",):
        assert f'<section id="{anchor}">' in page
    assert '<section id="together">' in page


def test_the_share_of_a_class_is_of_images_which_may_show_others_too(tmp_path: Path) -> None:
    shown = [thing(1, 1, 0, 0, 4, 4), thing(1, 2, 0, 0, 9, 9), thing(2, 1, 0, 0, 4, 4)]
    content = coco([image(i + 1, f"{i}.jpg") for i in range(2)], shown, {1: "a", 2: "b"})
    figures, inventory = figures_of(
        f"coco:{dataset(tmp_path, {'0.jpg': photo(0), '1.jpg': photo(1), 'x.json': content})}"
    )
    table = statistics_page(figures, inventory).partition('id="classes"')[2].partition("</table>")[0]
    assert re.findall(r"([\d.]+).%", table) == ["100.0", "50.0"]
