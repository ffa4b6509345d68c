"""Splits on the disk: whole, checked, and given to training."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from annotated import mask, photo, xml
from fewer.core.errors import DataError, RecipeError, ResourceError
from fewer.data.sources import named, open_source
from fewer.inspection import split_writer
from fewer.inspection.check import check
from fewer.inspection.inventory import inventory_of
from fewer.inspection.scan import scan
from fewer.inspection.split import Wanted, class_level, split
from fewer.inspection.splitting import sizes
from zoo import Files, encoded, picture, written

HALVES = sizes("fractions", "train=0.5,test=0.5")


def photos() -> Files:
    """Two classes with odd names, one of them called after a split, and a file that does not decode."""
    files = {
        f"{label}/{number}.png": encoded(picture(100 * at + number))
        for at, label in enumerate(("train", "$(rm -rf x) n\u00e9"))
        for number in range(8)
    }
    return files | {"train/more.png": encoded(picture(500)), "train/empty.png": b""}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return written(tmp_path / "photos", photos())


def parts(text: str) -> dict[str, set[str]]:
    """Files of each split by class and content."""
    source = open_source(text)
    return {
        part: {f"{source.classes[source.labels[id]]} {hash(bytes(source.read(id)))}" for id in ids.tolist()}
        for part, ids in source.parts.items()
    }


def test_links_copies_and_lists_hold_the_same_split(home: Path, tmp_path: Path) -> None:
    found = []
    for form in ("links", "copies", "lists"):
        told = split(Wanted(str(home), HALVES, tmp_path / form, form=form), 0)
        found.append(parts(told["out"]))
        assert told["damaged"] == 1
        assert told["train"] == f"fewer train {told['out']}"
        assert json.loads((tmp_path / form / "split.json").read_text())["images"] == told["images"]
    assert found[0] == found[1] == found[2]
    assert {part: len(each) for part, each in found[0].items()} == {"train": 9, "test": 8}
    assert all(path.is_symlink() for path in (tmp_path / "links").rglob("*.png"))
    assert not any(path.is_symlink() for path in (tmp_path / "copies").rglob("*.png"))
    assert not list((tmp_path / "lists").rglob("*.png"))
    assert named(str(tmp_path / "lists"), Path.cwd()).startswith("lists:")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_files_of_one_name_get_numbers(tmp_path: Path) -> None:
    names = [f"a/{room}/0.{ending}" for room, ending in (("x", "png"), ("y", "PNG"), ("z", "png"))]
    files = {name: encoded(picture(at)) for at, name in enumerate([*names, *(f"b/{at}.png" for at in range(9))])}
    split(Wanted(f"folder:{written(tmp_path / 'f', files)}", sizes("counts", "train=10,test=2"), tmp_path / "out"), 0)
    found = {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in tmp_path.rglob("out/*/a/*")}
    assert {*found.values()} == {files[name] for name in names}
    assert "train/a/0-2.PNG" in found or "train/a/0-2.png" in found


def test_a_tar_becomes_lists_or_copies(home: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(home, ".")
    told = split(Wanted(f"tar:{tmp_path}/photos.tar", HALVES, tmp_path / "out"), 0)
    assert told["as"] == "lists"
    copied = split(Wanted(f"tar:{tmp_path}/photos.tar", HALVES, tmp_path / "copies", form="copies"), 0)
    assert parts(told["out"]) == parts(copied["out"])
    with pytest.raises(RecipeError, match="holds no files that can be linked to"):
        split(Wanted(f"tar:{tmp_path}/photos.tar", HALVES, tmp_path / "links", form="links"), 0)
    with pytest.raises(RecipeError, match="holds pixels, no files"):
        split(Wanted("digits", HALVES, tmp_path / "digits", form="copies"), 0)


def test_equal_images_and_groups_stay_together(tmp_path: Path) -> None:
    scenes = [picture(seed, 6, 6).resize((40, 40), Image.Resampling.BICUBIC) for seed in range(12)]
    files = {f"{'ab'[at % 2]}/{at:02}.png": encoded(scene) for at, scene in enumerate(scenes)}
    files |= {f"{'ab'[at % 2]}/{at:02}-twin.png": encoded(scene, compress_level=1) for at, scene in enumerate(scenes)}
    files |= {f"{'ab'[at % 2]}/{at:02}-like.jpg": encoded(scene, "JPEG", quality=70) for at, scene in enumerate(scenes)}
    home = written(tmp_path / "f", files)
    (tmp_path / "g.csv").write_text("file,patient\n" + "".join(f"{name},{int(name[2:4]) // 3}\n" for name in files))
    out = []
    for groups in ((), ("near-duplicates",), (f"{tmp_path}/g.csv:patient",)):
        told = split(Wanted(f"folder:{home}", HALVES, tmp_path / f"out{len(out)}", 3, "copies", groups), 0)
        out.append({path.name: path.parts[-3] for path in (tmp_path / f"out{len(out)}").rglob("*.*g")})
        assert told["images"] == {"train": 18, "test": 18} or groups
    for at in range(12):
        twins = [f"{at:02}.png", f"{at:02}-twin.png"]
        assert all(len({of[name] for name in twins}) == 1 for of in out)
        assert len({out[1][name] for name in (*twins, f"{at:02}-like.jpg")}) == 1
        assert out[2][f"{at:02}-like.jpg"] == out[2][f"{at // 3 * 3:02}.png"]
    assert any(out[0][f"{at:02}-like.jpg"] != out[0][f"{at:02}.png"] for at in range(12))


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "out", {"mine.txt": b"mine"})
    with pytest.raises(RecipeError, match="nothing is overwritten"):
        split(Wanted(str(home), HALVES, tmp_path / "out"), 0)
    with pytest.raises(ResourceError, match="cannot be written"):
        split(Wanted(str(home), HALVES, tmp_path / "out" / "mine.txt" / "x"), 0)
    leak = next(path for path in sorted(home.rglob("*.png")) if path.stat().st_size)
    monkeypatch.setattr(split_writer, "_path", lambda source, id: str(leak))
    with pytest.raises(DataError, match="are not in the split as they were read before"):
        split(Wanted(str(home), HALVES, tmp_path / "new", form="links"), 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "photos"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_split_source_is_split_anew_only_when_asked(home: Path, tmp_path: Path) -> None:
    told = split(Wanted(str(home), HALVES, tmp_path / "one"), 0)
    with pytest.raises(RecipeError, match=r"is split already \(train, test\).*--pool"):
        split(Wanted(told["out"], HALVES, tmp_path / "two"), 0)
    again = split(Wanted(told["out"], HALVES, tmp_path / "two", seed=1, pool=True), 0)
    assert sum(again["images"].values()) == sum(told["images"].values())


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """Two animals in two rooms each: either may be the class."""
    places = [f"{animal}/{room}" for animal in ("cat", "dog") for room in ("in", "out")]
    files = {f"{at}/{n}.png": encoded(picture(10 * i + n)) for i, at in enumerate(places) for n in range(4)}
    return written(tmp_path / "nested", files)


@pytest.mark.parametrize(
    ("level", "classes"), [("1", ["cat", "dog"]), ("2", ["in", "out"]), ("innermost", ["in", "out"])]
)
@pytest.mark.parametrize("form", ["links", "lists"])
def test_classes_are_the_folders_of_the_level_that_is_asked_for(
    nested: Path, tmp_path: Path, level: str, classes: list[str], form: str
) -> None:
    told = split(Wanted(str(nested), HALVES, tmp_path / "out", form=form, class_level=class_level(level)), 0)
    assert {name: of["train"] for name, of in told["classes"].items()} == dict.fromkeys(classes, 4)
    source = open_source(told["out"])
    assert list(source.classes) == classes
    assert len(source) == 16
    assert source.notes == [] or form == "lists"


def test_the_question_which_folder_is_the_class_is_asked_in_words_of_the_command(nested: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--class-level 1 \(cat, dog\) or --class-level 2 \(in, out\)") as caught:
        split(Wanted(str(nested), HALVES, tmp_path / "out"), 0)
    assert "data." not in str(caught.value)
    with pytest.raises(RecipeError, match="--class-level 2: only sources of class folders"):
        split(Wanted("digits", HALVES, tmp_path / "out", class_level=2), 0)
    for wrong in ("0", "21", "outermost", "-1", "1.5"):
        with pytest.raises(RecipeError, match=f"--class-level {wrong}: allowed: 1 to 20"):
            class_level(wrong)


def test_lists_with_a_level_that_is_none_are_refused(nested: Path, tmp_path: Path) -> None:
    told = split(Wanted(str(nested), HALVES, tmp_path / "out", form="lists", class_level=1), 0)
    file = tmp_path / "out" / "split.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"class_level": True}))
    with pytest.raises(DataError, match=r"split\.json names no class level, but True"):
        open_source(told["out"])


@pytest.mark.parametrize(
    ("csv", "group", "part"),
    [
        ("file,g\ntrain/none.png,1\n", "g.csv:g", "'train/none.png' is no image of"),
        ("file,g\ntrain/0.png,1\ntrain/0.png,2\n", "g.csv:g", "is in two groups, '1' and '2'"),
        ("file,g\n", "g.csv:h", "there is no column 'h'.*set --group CSV:COLUMN"),
        ("", "similar", 'allowed: "near-duplicates", or CSV:COLUMN'),
        ("", "none.csv:g", "none.csv: cannot be read.*check --group CSV:COLUMN"),
    ],
)
def test_wrong_groups_say_what_is_right(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, csv: str, group: str, part: str
) -> None:
    (tmp_path / "g.csv").write_text(csv)
    monkeypatch.chdir(tmp_path)
    with pytest.raises((DataError, RecipeError), match=part):
        split(Wanted(str(home), HALVES, tmp_path / "out", groups=(group,)), 0)


@pytest.mark.parametrize("kind", ["voc", "masks"])
def test_boxes_and_masks_stay_with_their_images(tmp_path: Path, kind: str) -> None:
    files: Files = {f"images/{i}.jpg": photo(i) for i in range(12)}
    if kind == "voc":
        files |= {f"annotations/{i}.xml": xml("", [("a", 1, 1, i + 5, 9)] * (i % 3)) for i in range(12)}
    else:
        files |= {f"masks/{i}.png": mask([[i % 2] * 40] * 30) for i in range(12)} | {"classes.txt": b"a\nb\n"}
    own = open_source(f"{kind}:{written(tmp_path / 'set', files)}")
    told = split(Wanted(str(tmp_path / "set"), HALVES, tmp_path / "new"), 0)
    assert (told["as"], told["source"]) == ("lists", f"{kind}:{tmp_path}/set")
    got = open_source(told["out"])
    assert got.annotations == own.annotations
    assert {part: len(ids) for part, ids in got.parts.items()} == {"train": 6, "test": 6}
    id_of = {name: id for id, name in enumerate(own.names)}
    for id, name in enumerate(got.names):
        there = id_of[name]
        assert got.read(id) == own.read(there)
        assert got.annotation_digest(id) == own.annotation_digest(there)
        if kind == "masks":
            assert got.read_mask(id).tolist() == own.read_mask(there).tolist()
    if kind == "masks":
        shows = [sum(int(got.read_mask(id)[0, 0]) for id in ids) for ids in got.parts.values()]
        assert shows == [3, 3], "half of each class"
    with pytest.raises(RecipeError, match=r"--as links: .* has (boxes|masks), and folders of classes have none"):
        split(Wanted(str(tmp_path / "set"), HALVES, tmp_path / "other", form="links"), 0)
    (tmp_path / "new" / "test.csv").unlink()
    (tmp_path / "new" / "train.csv").write_text("file,class\nimages/3.jpg,\nimages/1.jpg,\n")
    picked = open_source(told["out"])
    assert [picked.names[id] for id in picked.parts["train"].tolist()] == ["images/1.jpg", "images/3.jpg"]
    inventory = inventory_of(told["out"])
    assert {finding.split for finding in check(inventory, scan(inventory, 0))} <= {"train"}
