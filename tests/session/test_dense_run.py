"""A run on masks, from its recipe to its pictures and to those of what it predicts."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotated import mask
from dense_data import mask_data
from drawings import drawings
from fewer import report
from fewer.plan.shown import shown_of
from fewer.recipe.parse import parse_recipe
from fewer.runs.record import read_json
from fewer.session.fit import fit
from fewer.testing.harness import one_thread
from run_folders import check_harmless
from server import Server, complains


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dense")
    mask_data(folder / "data", count=13)
    (folder / "data" / "masks" / "12.png").write_bytes(mask([[0, 77]]))
    data = {"source": f"masks:{folder / 'data'}", "test": "25%", "val": "25%", "damaged": "quarantine"}
    recipe = {
        "data": data,
        "model": {"name": "lraspp_mobilenet_v2"},
        "task": {"name": "segment"},
        "train": {"batch_size": 4, "lr": 0.05, "precision": "fp32"},
        "stages": [{"epochs": 2, "side_px": 64}],
    }
    with one_thread(), drawings(True):
        fit(parse_recipe(recipe), folder / "run")
    return folder / "run"


def test_a_run_leaves_pictures_of_its_images_with_their_masks(run: Path) -> None:
    assert {path.name for path in (run / "previews").glob("*.jpg")} == {"stage-1.jpg", "validation.jpg"}
    assert [path.name for path in sorted((run / "previews" / "watched").iterdir())] == ["000001.jpg", "000002.jpg"]
    tested = read_json(run / "result.json")["tables"]["test/worst_samples"]
    assert len(list((run / "previews" / "worst").iterdir())) == min(len(tested), shown_of(is_whole=True).worst)
    for path in (run / "previews").rglob("*.jpg"):
        with Image.open(path) as image:
            image.load()


def test_an_image_whose_mask_cannot_be_used_is_left_out_and_named(run: Path, server: Server, tmp_path: Path) -> None:
    result, plan = read_json(run / "result.json"), read_json(run / "plan.json")
    assert result["quarantined"] == 1
    assert plan["train_images"] + plan["val_images"] + plan["test_images"] == 12
    assert "images/12.png" in (run / "quarantine.json").read_text()
    source = f"data.test=masks:{run.parent / 'data'}"
    complains(server.run("eval", run, source, "data.damaged=error", cwd=tmp_path), 3, "12.png", "77")
    ended = server.run("eval", run, source, "--json", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    (left,) = ended.json["damaged"]
    assert left["name"] == "images/12.png"
    assert "77" in left["reason"]
    assert ended.json["images"] == 12


def test_its_report_can_be_read(run: Path) -> None:
    reader = check_harmless(report.render(run))
    assert "2 classes on test" in reader.text
    assert "mIoU on test" in reader.text
    assert "annotated on the left" in reader.text


def test_suspects_are_counted_where_they_are_listed(run: Path) -> None:
    result = read_json(run / "result.json")
    assert result["suspected_labels"] == len(result["tables"].get("suspects", [])) or result["suspected_labels"] > 40
    assert (run / "suspects.csv").exists() == bool(result["suspected_labels"])


def test_predictions_are_drawn_and_written_as_masks(run: Path, server: Server, tmp_path: Path) -> None:
    images = sorted((run.parent / "data" / "images").iterdir())[:3]
    ended = server.run(
        "predict",
        run,
        *images,
        "--pictures",
        "drawn",
        "--masks",
        "masks",
        "--sheet",
        "sheet.png",
        "--json",
        cwd=tmp_path,
    )
    assert ended.code == 0, ended.stderr
    for image, found in zip(images, ended.json["predictions"], strict=True):
        assert (found["picture"], found["mask"]) == (f"drawn/{image.stem}.jpg", f"masks/{image.stem}.png")
        with Image.open(tmp_path / found["mask"]) as mask, Image.open(tmp_path / found["picture"]) as picture:
            assert mask.size == picture.size == (60, 40)
            ids = np.asarray(mask)
        shares = {each["class"]: each["share"] for each in found["classes"]}
        assert sorted(shares.values()) == pytest.approx(sorted(np.unique(ids, return_counts=True)[1] / ids.size))
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 256
    again = server.run("predict", run, *images, "--masks", "masks", cwd=tmp_path)
    complains(again, 2, "--masks masks", "not empty")
    table = server.run("predict", run, *images, "--pictures", "more", "--csv", "found.csv", cwd=tmp_path)
    assert table.code == 0, table.stderr
    with (tmp_path / "found.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["picture"] for row in rows] == [f"more/{image.stem}.jpg" for image in images]


def test_suspects_of_any_images_can_be_listed(run: Path, server: Server, tmp_path: Path) -> None:
    ended = server.run("eval", run, "--suspects", "found.csv", "--json", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    with (tmp_path / "found.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == ended.json["suspects"]
    head = (tmp_path / "found.csv").read_text().splitlines()[0]
    assert head == "name,kind,annotated,predicted,sure,left,top,right,bottom"
    complains(server.run("eval", run, "--suspects", "x.csv", "--sides", "64", cwd=tmp_path), 2, "--suspects", "--sides")
