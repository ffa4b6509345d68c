"""`fewer predict` seen from outside."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from fewer.inference.evaluate import evaluate
from fewer.inference.loaded import load_published
from fewer.inference.predict import answers_of, predict
from fewer.runs.published import unfinished
from server import Ended, Server, complains


def test_predictions_are_those_of_the_evaluation(home: Path, at_home: Callable[..., Ended]) -> None:
    """The confusion matrix that the predicted classes make is the one that the evaluation found."""
    ended = at_home("predict", "done", "more", "--json")
    assert ended.code == 0, ended.stderr
    found = ended.json["predictions"]
    assert [entry["path"] for entry in found] == sorted(
        f"more/{p.parent.name}/{p.name}" for p in (home / "more").glob("*/*")
    )
    confusion = [[0, 0], [0, 0]]
    for entry in found:
        confusion["dog" in entry["path"]][entry["class"] == "dog"] += 1
        assert sum(each["probability"] for each in entry["top"]) == pytest.approx(1, abs=1e-5)
        assert entry["probability"] >= 0.5
    assert confusion == at_home("eval", "done", "data.test=folder:more", "--json").json["tables"]["test/confusion"]


def test_batch_size_changes_nothing_but_rounding(home: Path, at_home: Callable[..., Ended]) -> None:
    one, many = (at_home("predict", "done", "more", "--json", "--batch", size).json["predictions"] for size in (1, 64))
    assert [entry["path"] for entry in one] == [entry["path"] for entry in many]
    for a, b in zip(one, many, strict=True):
        assert a["probability"] == pytest.approx(b["probability"], abs=5e-3)  # bfloat16
        assert a["class"] == b["class"] or abs(a["probability"] - 0.5) < 5e-3


def test_lines_for_a_person(at_home: Callable[..., Ended]) -> None:
    ended = at_home("predict", "done", "more/dog/1.png", "more/cat/0.png", "--top", "9")
    assert ended.code == 0, ended.stderr
    first, second = (line.split() for line in ended.stdout.splitlines())
    assert (first[-1], second[-1]) == ("more/dog/1.png", "more/cat/0.png")
    assert {first[0], first[2]} == {"cat", "dog"}
    assert float(first[1].rstrip("%")) + float(first[3].rstrip("%")) == pytest.approx(100, abs=0.2)


def test_damaged_images_are_listed_and_the_rest_is_predicted(
    at_home: Callable[..., Ended], home: Path, tmp_path: Path
) -> None:
    whole = (home / "more" / "cat" / "0.png").read_bytes()
    bad = {"=1.png": b"", "cut.png": whole[: len(whole) // 2], "esc\x1b[2J.png": b"no image"}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "good.PNG").write_bytes(whole)
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"")
    (tmp_path / "lost.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    ended = at_home("predict", "done", tmp_path, "--csv", tmp_path / "out.csv", "--sheet", tmp_path / "out.jpg")
    assert ended.code == 3
    assert "5 of 6 images could not be read" in ended.stderr
    assert "\x1b" not in ended.stderr
    assert all(word in ended.stderr for word in ("0 bytes", "truncated", "known format", "no regular file"))
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(file)}
    assert rows.keys() == {*bad, "good.PNG", "lost.png", "pipe.png"}
    assert rows["good.PNG"]["class"] in ("cat", "dog")
    assert {name for name, row in rows.items() if row["error"]} == rows.keys() - {"good.PNG"}
    with Image.open(tmp_path / "out.jpg") as picture:
        assert picture.format == "JPEG"


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["more", "gone.png", "lost"], 3, ["gone.png: no such file", "lost: no such file"]),
        (["done/checkpoints"], 3, ["no images below"]),
        (["more", "--sheet", "sheet.gif"], 2, ["sheet.gif", ".jpg", ".png"]),
        (["more", "--json", "--csv", "x.csv"], 2, ["one of the two"]),
        (["more", "--csv", "no/where.csv"], 6, ["no/where.csv: there is no folder no", "make it"]),
        (["more", "--csv", "more"], 6, ["more: cannot be written", "directory"]),
        (["more", "--sheet", "no/where.png"], 6, ["no/where.png: there is no folder no", "make it"]),
        (["more", "--batch", "0"], 2, ["--batch"]),
        (["more", "--pictures", "new"], 2, ["--pictures new", "classify", "--sheet"]),
        (["more", "--masks", "new"], 2, ["--masks new", "classify"]),
        (["more", "--pictures", "more"], 2, ["--pictures more", "not empty", "a new folder"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_predict_complains(
    at_home: Callable[..., Ended], home: Path, arguments: list[str], code: int, parts: list[str]
) -> None:
    before = sorted(home.iterdir())
    complains(at_home("predict", "done", *arguments), code, *parts)
    assert sorted(home.iterdir()) == before


def test_only_a_few_batches_are_taken_ahead(home: Path, copied: Path) -> None:
    """Predicting is lazy: of an endless list, no more is read than decoding threads have work for."""
    from fewer.data.listing.files import Found

    taken = 0

    def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield Found(str(home / "more" / "cat" / "0.png"))

    stream = predict(load_published(copied), endless(), batch_size=4)
    seen = [next(stream) for _ in range(40)]
    stream.close()
    assert len({prediction.answer for prediction in seen}) == 1
    assert taken <= 40 + 4 * ((os.cpu_count() or 1) + 1)


def test_a_model_of_a_run_that_has_not_finished_is_warned_of(
    server: Server, home: Path, copied: Path, at_home: Callable[..., Ended], tmp_path: Path
) -> None:
    photo = home / "more" / "cat" / "0.png"
    assert "not finished" not in at_home("predict", "done", photo).stderr
    (copied / "result.json").unlink()
    plan = json.loads((copied / "plan.json").read_text())
    (copied / "plan.json").write_text(json.dumps({**plan, "epochs": 9}))
    trained = json.loads((copied / "checkpoints" / "best" / "model.json").read_text())["epochs"]
    word = f"is not finished: this model has seen {trained} of 9 epochs"
    assert word in server.run("predict", "done", photo, cwd=tmp_path).stderr
    assert word in evaluate(copied, [f"data.test=folder:{home / 'more'}"])["notes"][0]
    assert "not finished: this model has seen" in unfinished(copied / "checkpoints" / "best", 4)
    (copied / "plan.json").write_text("[]")
    assert "this model has seen 4 epochs" in unfinished(copied / "checkpoints" / "best", 4)


@pytest.mark.parametrize(("task", "answers"), [("classify", 2), ("segment", 3), ("detect", 100)])
def test_an_image_has_as_many_answers_as_its_task_needs(task: str, answers: int) -> None:
    """Two boxes of an image that shows twenty would be a wrong answer; two classes are a usual one."""
    handed: Any = SimpleNamespace(about=SimpleNamespace(task=SimpleNamespace(name=task)))
    assert answers_of(handed) == answers
