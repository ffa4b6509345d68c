"""`fewer eval` seen from outside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from photos import write_photos
from server import Ended, Server, complains


@pytest.mark.parametrize("split", ["test", "val"])
def test_evaluating_again_gives_the_runs_own_numbers(home: Path, at_home: Callable[..., Ended], split: str) -> None:
    """To the last bit, tables included: bfloat16, mirror images and an incomplete last batch."""
    before = json.loads((home / "done" / "result.json").read_text())
    ended = at_home("eval", "done", "--split", split, "--json")
    assert ended.code == 0, ended.stderr
    found = ended.json
    assert found["metrics"] == {k: v for k, v in before["metrics"].items() if k.startswith(f"{split}/t")} | {
        key: before["metrics"][key] for key in (f"{split}/loss", f"{split}/macro_f1")
    }
    tables = {key: value for key, value in before["tables"].items() if key.startswith(f"{split}/")}
    for sample in tables[f"{split}/worst_samples"]:
        sample.pop("thumbnail", None)  # a file of the run folder
    assert found["tables"] == tables
    assert (found["precision"], found["tta"], found["images"]) == ("bf16", "flip", {"test": 24, "val": 12}[split])


def own_loss(home: Path) -> float:
    loss: float = json.loads((home / "done" / "result.json").read_text())["metrics"]["test/loss"]
    return loss


def test_a_checkpoint_by_its_own_path(home: Path, at_home: Callable[..., Ended]) -> None:
    best, last = (at_home("eval", f"done/checkpoints/{name}", "--json").json for name in ("best", "last"))
    assert (
        best["metrics"]["test/loss"] == json.loads((home / "done" / "result.json").read_text())["metrics"]["test/loss"]
    )
    assert Path(last["model"]).name.startswith("model-epoch00003-")


def test_eval_prints_a_short_table(at_home: Callable[..., Ended]) -> None:
    ended = at_home("eval", "done", "--per-class")
    assert ended.code == 0, ended.stderr
    lines = ended.stdout.splitlines()
    words = [line.split()[0] for line in lines[1:] if line]
    shown = ["top-1", "loss", "macro-F1", "images", "forwards", "seconds", "class", "cat", "dog"]
    assert words == shown, "no top-5 of two classes"


def test_other_images_may_lack_a_class(home: Path, at_home: Callable[..., Ended], tmp_path: Path) -> None:
    shutil.copytree(home / "more" / "dog", tmp_path / "dogs" / "dog")
    ended = at_home("eval", "done", f"data.test=folder:{tmp_path / 'dogs'}", "--json")
    assert ended.code == 0, ended.stderr
    assert [sum(row) for row in ended.json["tables"]["test/confusion"]] == [0, 35]
    assert "no image of cat" in ended.json["notes"][-1]


def test_another_precision_and_no_mirror_images(home: Path, at_home: Callable[..., Ended]) -> None:
    found = at_home("eval", "done", "train.precision=fp32", "task.flip_tta=false", "--side", "40", "--json").json
    assert (found["precision"], found["tta"], found["side_px"]) == ("fp32", "none", 40)
    assert found["metrics"]["test/loss"] != own_loss(home)


def test_other_views_of_unsure_images(at_home: Callable[..., Ended]) -> None:
    """All images in six views, none of them, and some: the mean of forwards tells."""
    keys = ("task.tta=flip_and_shift", "--json")
    found = [at_home("eval", "done", *keys, f"task.tta_below={below}").json for below in ("1", "1e-9", "0.51")]
    forwards = [each["tables"]["test/forwards_per_image"] for each in found]
    assert forwards[:2] == [6.0, 1.0]
    assert round((forwards[2] - 1) * 24, 6) % 5 == 0, "five more for each that is looked at again"
    assert (found[2]["tta"], found[2]["tta_below"]) == ("flip_and_shift", 0.51)
    plain = at_home("eval", "done", "task.tta=none", "--json").json
    assert found[1]["metrics"] == plain["metrics"]
    assert "test/forwards_per_image" not in plain["tables"]
    assert found[0]["metrics"]["test/loss"] != plain["metrics"]["test/loss"]


def test_a_model_on_its_own_needs_images_and_nothing_else(
    server: Server, home: Path, at_home: Callable[..., Ended], tmp_path: Path
) -> None:
    """Copied away from its run, it computes as it did there."""
    shutil.copytree(home / "done" / "checkpoints" / "best", tmp_path / "model")
    complains(server.run("eval", "model", cwd=tmp_path), 2, "outside its run", "data.test=folder:PATH")
    alone = server.run("eval", "model", f"data.test=folder:{home / 'more'}", "--json", cwd=tmp_path)
    assert alone.code == 0, alone.stderr
    assert alone.json["metrics"] == at_home("eval", "done", "data.test=folder:more", "--json").json["metrics"]


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["nowhere"], 2, ["nowhere: no such folder", "fewer train"]),
        (["photos"], 2, ["photos: neither a run nor a published model"]),
        (["done", "--split", "train"], 2, ["--split train", "test, val"]),
        (["done", "train.lr=1"], 2, ["train.lr", "does not change"]),
        (["done", "data.difficult=use"], 2, ["data.difficult", "add data.test=SOURCE"]),
        (["done", "data.tests=folder:more"], 2, ["data.tests", 'did you mean "data.test"']),
        (["done", "data.test=20%"], 2, ['data.test = "20%"', "folder:PATH"]),
        (["done", "data.test=folder:more", "--split", "val"], 2, ["--split val", "leave one of the two out"]),
        (["done", "data.test=folder:nowhere"], 3, ["nowhere does not exist"]),
        (["done", "task.flip_tta=maybe"], 2, ["task.flip_tta", "maybe", "flip_and_shift"]),
        (["done", "task.tta_below=0"], 2, ["task.tta_below", "greater than 0"]),
        (["done", "task.tta=none", "task.tta_below=0.5"], 2, ["task.tta_below", "has no effect"]),
        (["done", "--side", "8"], 2, ["side_px = 8", "lenet5", "32"]),
        (["done", "--side", "5"], 2, ["--side"]),
        (["done", "--suspects", "found.csv"], 2, ["--suspects", "classify", "guards"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_eval_complains(at_home: Callable[..., Ended], arguments: list[str], code: int, parts: list[str]) -> None:
    complains(at_home("eval", *arguments), code, *parts)


def test_classes_that_the_model_does_not_know(at_home: Callable[..., Ended], tmp_path: Path) -> None:
    write_photos(tmp_path / "zoo", 2)
    (tmp_path / "zoo" / "dog").rename(tmp_path / "zoo" / "zebra")
    complains(at_home("eval", "done", f"data.test=folder:{tmp_path / 'zoo'}"), 3, "'zebra'", "cat, dog")


def test_damaged_images_stop_an_evaluation_or_are_left_out(
    home: Path, at_home: Callable[..., Ended], tmp_path: Path
) -> None:
    """Left out, they leave no trace: the numbers are those without the file."""
    folder = Path(shutil.copytree(home / "more", tmp_path / "more"))
    (folder / "cat" / "3.png").unlink()
    whole = at_home("eval", "done", f"data.test=folder:{folder}", "--json").json
    (folder / "cat" / "3.png").write_bytes(b"no image")
    complains(at_home("eval", "done", f"data.test=folder:{folder}"), 3, "1 of 70", "cat/3.png", "quarantine")
    left = at_home("eval", "done", f"data.test=folder:{folder}", "data.damaged=quarantine", "--json").json
    assert [image["name"] for image in left["damaged"]] == ["cat/3.png"]
    assert left["images"] == 69
    assert left["metrics"] == whole["metrics"]


def test_own_images_must_be_those_that_the_run_began_with(server: Server, home: Path, tmp_path: Path) -> None:
    """Moved, then changed: in both cases the way out is named."""
    shutil.copytree(home / "photos", tmp_path / "photos")
    shutil.copytree(home / "done", tmp_path / "done", symlinks=True)
    resolved = tmp_path / "done" / "recipe.resolved.toml"
    resolved.write_text(resolved.read_text().replace(str(home), str(tmp_path)))
    assert server.run("eval", "done", cwd=tmp_path).code == 0
    shutil.copy(tmp_path / "photos" / "cat" / "1.png", tmp_path / "photos" / "dog" / "new.png")
    complains(server.run("eval", "done", cwd=tmp_path), 3, "not the data", "new.png", "data.test=folder:PATH")
    shutil.rmtree(tmp_path / "photos")
    complains(server.run("eval", "done", cwd=tmp_path), 3, "does not exist", "data.test=folder:PATH")
    assert server.run("eval", "done", f"data.test=folder:{home / 'more'}", cwd=tmp_path).code == 0


def test_no_images_are_no_accuracy(server: Server, home: Path, tmp_path: Path) -> None:
    """Of one image a class a share holds out none; 0.00 % would be a lie."""
    write_photos(tmp_path / "pair", 1)
    run, keys = str(tmp_path / "run"), [f"data.source=folder:{tmp_path / 'pair'}", "train.batch_size=2"]
    assert server.run("train", "recipe.toml", *keys, "--out", run, cwd=home).code == 0
    complains(server.run("eval", run, cwd=home), 3, "no test images", "data.test=folder:PATH")
