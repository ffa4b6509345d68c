"""Reports of detection and segmentation: classes, curves and pictures, and nothing that a name says is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dense_runs import dense_run
from fewer import report
from fewer.report.history import history
from fewer.report.load import load
from fewer.report.sections.dense import color
from fewer.report.sections.tasks import part_of
from fewer.report.sections.tasks.detect.classes import CURVES
from run_folders import check_harmless

TASKS = ("detect", "segment")


def section(folder: Path, task: str) -> str:
    run = load(folder)
    return part_of(task).sections["Classes"](run, history(run))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("split", ["test", "val"])
def test_a_report_says_what_was_reached_and_shows_pictures(tmp_path: Path, task: str, split: str) -> None:
    reader = check_harmless(report.render(dense_run(tmp_path / "run", task, split=split)))
    name, second = {"detect": ("AP", "AP50"), "segment": ("mIoU", "pixel accuracy")}[task]
    assert f"43.1 % {name} on {'test' if split == 'test' else 'validation'} after 4 epochs" in reader.text
    assert f"{name} · {split}" in reader.text
    assert f"{second} · {split}" in reader.text
    assert f"3 classes on {split}" in reader.text
    assert "annotated on the left" in reader.text
    assert sum(value.startswith("data:image/jpeg") for _, value in reader.attributes) == 7
    assert "<img src=x" in reader.text, "as text"
    assert "\x1b" not in reader.text


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("count", [1, 2, 31, 101])
def test_classes_in_the_form_that_fits(tmp_path: Path, task: str, count: int) -> None:
    html = section(dense_run(tmp_path / "run", task, classes=count), task)
    rows = html.count('aria-hidden="true"></span><bdi>')
    curves = html.count("<polyline")
    assert rows - curves == (count if count <= 30 else 20)
    if task == "detect":
        assert curves == min(count - (count > 2), CURVES)
        assert (f"The {CURVES} of {count} classes" in html) == (count > 30)
    elif count > 1:
        assert ('class="confusion"' in html) == (count <= 30)
        assert ('class="heat"' in html) == (30 < count <= 100)


def test_a_curve_has_the_colour_of_its_class_and_lies_within_its_axes(tmp_path: Path) -> None:
    html = section(dense_run(tmp_path / "run", "detect"), "detect")
    assert f"stroke:{color(0)};" in html
    assert f"stroke:{color(2)};" not in html, "a class without objects has no curve"
    points = [
        tuple(map(float, point.split(",")))
        for piece in html.split('points="')[1:]
        for point in piece.split('"')[0].split()
    ]
    assert all(0 <= x <= 420 and 0 <= y <= 300 for x, y in points)
    assert len(points) == 2 * 101


def test_pixels_are_shares(tmp_path: Path) -> None:
    html = section(dense_run(tmp_path / "run", "segment"), "segment")
    assert "66.6\u00a0%" in html  # 1,000,000 of 1,501,000 pixels
    assert ">100.0<" in html
    assert "99.8" in html
    assert "Definitions" in html
    assert "<script" not in html


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "damage", [None, 3, [], [[1, 2], [3]], {"ap": "x"}, [["a", None], [{}, 1e400]], {"ap": [0.5] * 9}]
)
def test_damaged_tables_spoil_nothing_else(tmp_path: Path, task: str, damage: Any) -> None:
    folder = dense_run(tmp_path / "run", task)
    result = json.loads((folder / "result.json").read_text())
    for key in result["tables"]:
        result["tables"][key] = damage
    (folder / "result.json").write_text(json.dumps(result))
    assert "Glossary" in check_harmless(report.render(folder)).text


def test_the_worst_images_say_how_wrong_they_are(tmp_path: Path) -> None:
    run = load(tmp_path)
    said = [
        part_of("detect").verdict(run, {"true": [{"crowd": True}, {}], "predicted": [{}, {}, 3]}),
        part_of("detect").verdict(run, {}),
        part_of("segment").verdict(run, {"miou": 0.25, "pixel_accuracy": 0.5}),
        part_of("segment").verdict(run, {"miou": None, "pixel_accuracy": "<b>"}),
    ]
    assert [text.replace("\u00a0", " ") for text, _ in said] == [
        "1 object, 3 found", "", "mIoU 25.0 %, 50.0 % of the pixels right", "",
    ]  # fmt: skip
