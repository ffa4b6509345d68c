"""`fewer eval` and `fewer predict` seen from outside, and the opening of a model that anybody may have written."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageFont

from fewer.core.errors import CheckpointError
from fewer.core.types import Batch
from fewer.data.listing.files import files_of
from fewer.data.listing.splits import open_splits
from fewer.data.one_pass import chunks, evenly, once
from fewer.inference.evaluate import load_published, per_class
from fewer.inference.predict import predict
from fewer.models.published import open_model
from fewer.report.contact_sheet import SHOWN_MAX, Tile, drawable, fitting, sheet
from fewer.runs.record import inert
from paths import DOCS
from photos import write_photos
from server import Ended, Server, complains

RECIPE = """[data]
source = "folder:photos"
test = "30%"
val = "20%"

[model]
name = "lenet5"
width = 0.1

[task]
flip_tta = true

[train]
epochs = 3
batch_size = 16
lr = 0.05
precision = "bf16"
"""


@pytest.fixture(scope="module")
def home(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos`, the finished run `done` on them, and `more` photos that it has not seen."""
    folder = tmp_path_factory.mktemp("verbs")
    torch.manual_seed(3)
    write_photos(folder / "photos", 40, width_px=30, height_px=24)
    write_photos(folder / "more", 35)
    (folder / "recipe.toml").write_text(RECIPE)
    ended = server.run("train", "recipe.toml", "--out", "done", cwd=folder)
    assert ended.code == 0, ended.stderr
    return folder


@pytest.fixture
def at_home(server: Server, home: Path) -> Callable[..., Ended]:
    """Runs `fewer ARGUMENTS` beside the finished run; for what changes nothing there."""
    return lambda *arguments: server.run(*arguments, cwd=home)


@pytest.fixture
def copied(home: Path, tmp_path: Path) -> Path:
    """A copy of the run, whose photos stay where they were."""
    return Path(shutil.copytree(home / "done", tmp_path / "done", symlinks=True))


# --- eval ----------------------------------------------------------------------------------------------------------


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
    assert (found["precision"], found["flip_tta"], found["images"]) == ("bf16", True, {"test": 24, "val": 12}[split])


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
    assert [line.split()[0] for line in lines[1:7]] == ["top-1", "top-5", "loss", "macro-F1", "images", "seconds"]
    assert [line.split()[0] for line in lines[8:]] == ["class", "cat", "dog"]


def test_other_images_may_lack_a_class(home: Path, at_home: Callable[..., Ended], tmp_path: Path) -> None:
    shutil.copytree(home / "more" / "dog", tmp_path / "dogs" / "dog")
    ended = at_home("eval", "done", f"data.test=folder:{tmp_path / 'dogs'}", "--json")
    assert ended.code == 0, ended.stderr
    assert [sum(row) for row in ended.json["tables"]["test/confusion"]] == [0, 35]
    assert "no image of cat" in ended.json["notes"][-1]


def test_another_precision_and_no_mirror_images(home: Path, at_home: Callable[..., Ended]) -> None:
    found = at_home("eval", "done", "train.precision=fp32", "task.flip_tta=false", "--side", "40", "--json").json
    assert (found["precision"], found["flip_tta"], found["side_px"]) == ("fp32", False, 40)
    assert found["metrics"]["test/loss"] != own_loss(home)


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
        (["done", "data.tests=folder:more"], 2, ["data.tests", 'did you mean "data.test"']),
        (["done", "data.test=20%"], 2, ['data.test = "20%"', "folder:PATH"]),
        (["done", "data.test=folder:more", "--split", "val"], 2, ["--split val", "leave one of the two out"]),
        (["done", "data.test=folder:nowhere"], 3, ["nowhere does not exist"]),
        (["done", "task.flip_tta=maybe"], 2, ["task.flip_tta", "maybe"]),
        (["done", "--side", "8"], 2, ["side_px = 8", "lenet5", "32"]),
        (["done", "--side", "5"], 2, ["--side"]),
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


def test_per_class_by_hand() -> None:
    first, second, absent = per_class([[3, 1, 0], [2, 4, 0], [0, 0, 0]])
    assert (first["images"], first["accuracy"], first["precision"], first["f1"]) == (4, 0.75, 0.6, pytest.approx(6 / 9))
    assert (first["taken_for"], second["taken_for"], absent["taken_for"]) == (1, 0, None)
    assert (absent["accuracy"], absent["precision"], absent["f1"]) == (None, None, None)


# --- The model: which one, and whether it can be trusted ------------------------------------------------------------


def test_an_unfinished_run_gives_its_newest_model(server: Server, copied: Path) -> None:
    for name in ("best", "last"):
        (copied / "checkpoints" / name).unlink()
    newest = max(path.name for path in (copied / "checkpoints").glob("model-epoch*"))
    ended = server.run("eval", "done", "--json", cwd=copied.parent)
    assert Path(ended.json["model"]).name == newest
    for path in (copied / "checkpoints").glob("model-epoch*"):
        shutil.rmtree(path)
    complains(server.run("predict", "done", "done/checkpoints", cwd=copied.parent), 3, "no images")
    complains(server.run("eval", "done", cwd=copied.parent), 5, "has published no model yet", "fewer resume")
    checkpoint = next(path for path in (copied / "checkpoints").iterdir() if path.name.startswith("epoch"))
    complains(server.run("eval", str(checkpoint), cwd=copied.parent), 5, "not a published model", "checkpoints/best")


def test_the_page_on_run_folders_names_every_file(copied: Path) -> None:
    page = (DOCS / "run-folder.md").read_text("utf-8")
    names = [f"{path.name}/" if path.is_dir() else path.name for path in copied.iterdir()]
    assert {"result.json", "rows.jsonl", "checkpoints/"} <= set(names)
    assert not [name for name in names if f"`{name}`" not in page and name != ".lock"]


def test_damaged_weights(server: Server, copied: Path) -> None:
    weights = copied / "checkpoints" / "best" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    complains(server.run("eval", "done", cwd=copied.parent), 5, "model.safetensors is not what was written")


def rewritten(run: Path, change: Callable[[dict[str, Any]], object], weights: bytes | None = None) -> Path:
    """The run's best model with another `model.json`, under a manifest that agrees with it."""
    folder = (run / "checkpoints" / "best").resolve()
    about = json.loads((folder / "model.json").read_text())
    text = change(about)
    (folder / "model.json").write_bytes(text if isinstance(text, bytes) else json.dumps(about).encode())
    if weights is not None:
        (folder / "model.safetensors").write_bytes(weights)
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in manifest["files"]:
        data = (folder / name).read_bytes()
        manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda about: about.update(schema=2), "schema"),
        (lambda about: about["model"].update(name="os.system"), "model.name"),
        (lambda about: about["model"].update(width=1e9), "model.width"),
        (lambda about: about["model"].update(width=0.2), "do not fit lenet5 with 2 classes"),
        (lambda about: about.update(classes=["a"], train_images_per_class=[1]), "do not fit lenet5 with 1 classes"),
        (lambda about: about.update(train_images_per_class=[1]), "not one number a class"),
        (lambda about: about.update(train_images_per_class=[1, -1]), "train_images_per_class"),
        (lambda about: about.update(classes=["a"] * 2), "two classes of one name"),
        (lambda about: about.update(classes="ab"), "classes"),
        (lambda about: about.update(classes=[]), "classes"),
        (lambda about: about.update(side_px=10**9), "side_px"),
        (lambda about: about.update(side_px="32"), "side_px"),
        (lambda about: about.update(mean=[0.5, 0.5]), "mean"),
        (lambda about: about.update(mean=[0.5, 0.5, float("nan")]), "mean.2"),
        (lambda about: about.update(std=[0.5, 0.5, 0]), "std.2"),
        (lambda about: about.update(precision="fp4\x1b[2J"), "precision"),
        (lambda about: about.update(flip_tta="yes"), "flip_tta"),
        (lambda about: about.pop("mean"), "mean"),
        (lambda about: b"[" * 100_000, "model.json"),
        (lambda about: b"[1, 2]", "model.json"),
        (lambda about: b"\xff", "model.json"),
    ],
)
def test_hostile_description(copied: Path, change: Callable[[dict[str, Any]], object], part: str) -> None:
    rewritten(copied, change)
    with pytest.raises(CheckpointError) as caught:
        open_model(copied)
    assert part in str(caught.value)
    assert str(caught.value).isprintable()
    assert "another model" in str(caught.value)


def test_hostile_weights(copied: Path) -> None:
    from safetensors.torch import load, save

    weights = load((copied / "checkpoints" / "best" / "model.safetensors").read_bytes())
    weights["fc3.bias"][0] = float("nan")
    rewritten(copied, lambda about: None, save(weights))
    with pytest.raises(CheckpointError, match=r"fc3\.bias holds NaN"):
        open_model(copied)
    rewritten(copied, lambda about: None, b"\x80\x04pickle")
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        open_model(copied)


def test_opening_a_model_moves_no_random_stream(copied: Path) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    open_model(copied)
    assert torch.equal(torch.rand(3), expected)


# --- predict -------------------------------------------------------------------------------------------------------


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
        (["more", "--csv", "no/where.csv"], 6, ["no/where.csv", "cannot be written"]),
        (["more", "--csv", "more"], 6, ["more: cannot be written", "directory"]),
        (["more", "--sheet", "no/where.png"], 6, ["no/where.png", "cannot be written"]),
        (["more", "--batch", "0"], 2, ["--batch"]),
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
    assert len({prediction.top for prediction in seen}) == 1
    assert taken <= 40 + 4 * ((os.cpu_count() or 1) + 1)


def test_listing_is_sorted_and_follows_links_but_not_in_circles(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.jpeg", "a/z.webp", "top.bmp", ".git/x.png", "a/readme.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "c").symlink_to(tmp_path / "b")
    found = [os.path.relpath(file.path, tmp_path) for file in files_of([tmp_path, tmp_path / "a" / "readme.md"])]
    assert found == ["a/z.webp", "b/1.jpeg", "b/2.png", "c/1.jpeg", "c/2.png", "top.bmp", "a/readme.md"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("=1+2", "'=1+2"), ("-x", "'-x"), ("@a", "'@a"), (" +a", "' +a"), ("cat", "cat"), ("a=b", "a=b"), ("", "")],
)
def test_no_cell_is_a_formula(text: str, expected: str) -> None:
    assert inert(text, "'") == expected


# --- Images that are looked at once ----------------------------------------------------------------------------------


def test_once_is_what_the_run_sees(home: Path) -> None:
    """Same pixels, in order, in batches of the size asked for."""
    from fewer.core.types import Request
    from fewer.data.images import ImageData

    split = open_splits(f"folder:{home / 'photos'}").train
    whole = next(ImageData(split).batches([Request(split.ids_M, 0, 20, strength=0.0)]))
    found = [chunk.batch for chunk in once(chunks(split, 7), 20, threads=3)]
    joined = Batch.joined([batch for batch in found if batch is not None])
    assert torch.equal(joined.inputs, whole.inputs)
    assert torch.equal(joined.ids_B, whole.ids_B)
    assert torch.equal(joined.targets, whole.targets)


@pytest.mark.parametrize("sizes", [[4, 4, 2], [3, 4, 3], [1, 1, 8], [10], [4], []])
def test_evenly(sizes: list[int]) -> None:
    ids = torch.arange(sum(sizes))
    batches = [Batch(part, part, part) for part in ids.split(sizes)] if sizes else []
    found = [len(batch) for batch in evenly(batches, 4)]
    assert found == [len(part) for part in ids.split(4)] if sizes else found == []
    assert not sizes or torch.equal(torch.cat([batch.ids_B for batch in evenly(batches, 4)]), ids)


# --- The contact sheet -----------------------------------------------------------------------------------------------


def test_sheet_is_bounded_and_shows_the_image(home: Path) -> None:
    """Drawn in its place, and no larger than the most that is shown."""
    import io

    Image.new("RGB", (50, 50), (200, 30, 30)).save(home / "red.png")
    tile = Tile(str(home / "red.png"), "cat", 0, 0.5)
    one = Image.open(io.BytesIO(sheet([tile], "one", "PNG")))
    assert one.getpixel((100, 130)) == (200, 30, 30)
    (home / "red.png").unlink()
    few, many = (
        Image.open(io.BytesIO(sheet([tile] * count, "title", "JPEG"))).size for count in (SHOWN_MAX, SHOWN_MAX + 300)
    )
    assert few == many
    assert max(many) < 5000


def test_names_are_cut_to_fit() -> None:
    font = ImageFont.load_default(12)
    text = "a name that is far too long for its place"
    cut, end = fitting(text, 80, font), fitting(text, 80, font, keep_end=True)
    assert text.startswith(cut.removesuffix("…"))
    assert text.endswith(end.removeprefix("…"))
    assert max(font.getlength(cut), font.getlength(end)) <= 80
    assert len(cut) > 5
    assert fitting("short", 80, font) == "short"


def test_names_that_the_font_cannot_draw_get_the_class_number() -> None:
    from fewer.report.contact_sheet import font_of

    assert drawable("cat", 7, font_of(13)) == "cat"
    assert drawable("猫 cat", 7, font_of(13)) == "#7 cat"
    assert drawable("猫", 7, font_of(13)) == "#7"
