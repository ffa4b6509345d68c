"""`fewer data convert`: what a format can hold comes back, and what it cannot is told."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotated import coco, dataset, image, photo, refuse_to_read, thing, xml
from fewer.core.errors import DataError, RecipeError, ResourceError
from fewer.data.annotations.boxes import Boxes
from fewer.data.sources import SOURCES
from fewer.inspection.conversion import Conversion, converted
from server import Server, complains
from zoo import Files

FORMATS = ("coco", "voc", "yolo")
WIDE, HIGH = 40, 30
PHOTO = photo(1, WIDE, HIGH)
EDGE = st.floats(0, 1, width=32)
NAMES = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=6)


def listed(text: str) -> Boxes:
    kind, _, place = text.partition(":")
    found: Boxes = SOURCES.module(kind).listed(text, place, keeps=True)
    return found


def convert(source: str, out: Path, to: Any, images: Any = "link") -> dict[str, Any]:
    return converted(Conversion(source, out, to, images))


@st.composite
def data_sets(draw: st.DrawFn) -> Files:
    """A COCO data set of up to four images in up to two splits, with boxes of more than a pixel."""
    classes = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    files: Files = {}
    for part in ("train", "val")[: draw(st.integers(1, 2))]:
        images, things = [], []
        for at in range(draw(st.integers(1, 2))):
            images.append(image(at + 3, f"{at}.jpg", WIDE, HIGH))
            files[f"{part}/{at}.jpg"] = PHOTO
            for _ in range(draw(st.integers(part == "train" and at == 0, 3))):
                left, top = draw(EDGE) * (WIDE - 2), draw(EDGE) * (HIGH - 2)
                wide, high = 1.25 + draw(EDGE) * (WIDE - left - 1.5), 1.25 + draw(EDGE) * (HIGH - top - 1.5)
                more = {"difficult": 1} if draw(st.booleans()) else {}
                label = draw(st.integers(1, len(classes)))
                things.append(thing(at + 3, label, left, top, wide, high, iscrowd=int(draw(st.booleans())), **more))
        files[f"{part}/_annotations.coco.json"] = coco(images, things, {i + 1: name for i, name in enumerate(classes)})
    return files


def rows(found: Boxes, crowds: bool = True) -> list[tuple[str, str, list[Any]]]:
    """For each image its split, and its boxes with classes and flags; the order of images does not count."""
    part_of = {id: part for part, ids in found.parts.items() for id in ids.tolist()}
    table, all_rows = found.objects, []
    for id in range(len(found.names)):
        here = [at for at in range(*table.image(id).indices(len(table.class_A))) if crowds or not table.crowd_A[at]]
        boxes = [
            (found.classes[table.class_A[at]], *np.round(table.box_A4[at], 6).tolist(), bool(table.difficult_A[at]),
             bool(table.crowd_A[at]), round(float(table.area_A[at]), 4))
            for at in here
        ]  # fmt: skip
        all_rows.append((part_of.get(id, ""), found.names[id].rpartition("/")[2], boxes))
    return sorted(all_rows)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data_sets())
def test_coco_holds_all_and_the_others_tell_what_they_do_not(files: Files) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        own = listed(f"coco:{dataset(root / 'own', files)}")
        crowds, difficult = int(own.objects.crowd_A.sum()), int(own.objects.difficult_A.sum())
        wanted = rows(own)
        told = convert(f"coco:{root}/own", root / "coco", "coco")
        assert (rows(listed(f"coco:{root}/coco")), told["lost"]) == (wanted, {})
        assert listed(f"coco:{root}/coco").classes == own.classes
        if own.objects.crowd_A.all():
            return  # YOLO has no box to hold
        told = convert(f"coco:{root}/own", root / "yolo", "yolo")
        plain = [(part, [(*row[:5],) for row in boxes]) for part, _, boxes in rows(own, crowds=False)]
        got = listed(f"yolo:{root}/yolo")
        assert [(part, [(*row[:5],) for row in boxes]) for part, _, boxes in rows(got)] == plain
        assert got.classes == own.classes
        lost = {"crowd regions, left out": crowds, "marks of difficult objects": int(
            (own.objects.difficult_A & ~own.objects.crowd_A).sum())}  # fmt: skip
        assert told["lost"] == {what: count for what, count in lost.items() if count}
        told = convert(f"coco:{root}/own", root / "voc", "voc")
        got = listed(f"voc:{root}/voc")
        assert got.objects.difficult_A.sum() == (own.objects.difficult_A | own.objects.crowd_A).sum() >= difficult
        assert [(part, [row[:5] for row in boxes]) for part, _, boxes in rows(got)] == [
            (part, [row[:5] for row in boxes]) for part, _, boxes in rows(own)
        ]
        assert told["lost"].get("crowd regions, written as difficult", 0) == crowds


@pytest.mark.parametrize("path", [("voc", "coco", "voc"), ("voc", "yolo", "coco", "voc")])
def test_voc_comes_back_through_the_others(tmp_path: Path, path: tuple[str, ...]) -> None:
    files: Files = {f"JPEGImages/{i}.jpg": PHOTO for i in range(3)}
    more = "<pose>Left</pose><truncated>1</truncated><difficult>1</difficult>"
    boxes = [("a b", 1, 1, 40, 30), ("c", 3, 4, 17, 9)]
    files |= {"Annotations/0.xml": xml("0.jpg", boxes, more=more), "Annotations/1.xml": xml("1.jpg"),
              "Annotations/2.xml": xml("2.jpg", boxes[1:]), "ImageSets/Main/train.txt": b"0\n1\n",
              "ImageSets/Main/test.txt": b"2\n"}  # fmt: skip
    own = listed(f"voc:{dataset(tmp_path / '0', files)}")
    for at, to in enumerate(path[1:]):
        told = convert(f"{path[at]}:{tmp_path}/{at}", tmp_path / str(at + 1), to)
    back = listed(f"voc:{tmp_path}/{len(path) - 1}")
    assert told["checked"]
    if "yolo" not in path:
        assert rows(back) == rows(own)
        assert back.extra == own.extra
        assert own.extra[0] == {"pose": "Left", "truncated": "1"}
    else:
        assert [[row[:5] for row in boxes] for _, _, boxes in rows(back)] == [
            [row[:5] for row in boxes] for _, _, boxes in rows(own)
        ]


def test_outlines_go_with_their_objects_where_a_format_has_them(tmp_path: Path) -> None:
    square = [4, 3, 20, 3, 20, 15, 4, 15]
    things = [
        thing(1, 1, 4, 3, 16, 12, segmentation=[square], attributes={"occluded": True}),
        thing(1, 1, 4, 3, 16, 12, segmentation=[square, [1, 1, 2, 2, 3, 1]]),
        thing(1, 1, 4, 3, 17, 12, segmentation=[square]),
        thing(1, 1, 0, 0, 9, 9, segmentation={"counts": "abc", "size": [30, 40]}, area=7),
    ]
    content = coco([image(1, "x.jpg") | {"license": 3}], things, {1: "a"})
    dataset(tmp_path / "own", {"x.jpg": PHOTO, "a.json": content})
    assert convert(f"coco:{tmp_path}/own", tmp_path / "coco", "coco")["lost"] == {}
    back = listed(f"coco:{tmp_path}/coco")
    assert back.extra == [{key: each[key] for key in ("segmentation", "attributes") if key in each} for each in things]
    assert back.image_extra == [{"license": 3}]
    told = convert(f"coco:{tmp_path}/own", tmp_path / "yolo", "yolo")
    assert told["lost"] == {"outlines": 3, "areas of their own": 1}
    lines = (tmp_path / "yolo/labels/x.txt").read_text().splitlines()
    assert [len(line.split()) for line in lines] == [9, 5, 5, 5]
    convert(f"yolo:{tmp_path}/yolo", tmp_path / "again", "coco")
    assert listed(f"coco:{tmp_path}/again").extra[0]["segmentation"][0] == pytest.approx(square)
    told = convert(f"coco:{tmp_path}/own", tmp_path / "voc", "voc")
    assert told["lost"] == {"outlines": 4, "areas of their own": 1}


def test_what_voc_cannot_hold_is_told_or_refused(tmp_path: Path) -> None:
    things = [thing(1, 2, 1, 1, 1, 9), thing(1, 2, 1, 1, 9, 9, iscrowd=1)]
    content = coco([image(1, "x.jpg")], things, {1: "unused", 2: "b", 3: "a"})
    dataset(tmp_path / "own", {"x.jpg": PHOTO, "a.json": content})
    assert convert(f"coco:{tmp_path}/own", tmp_path / "voc", "voc")["lost"] == {
        "boxes of a pixel or less, left out": 1, "crowd regions, written as difficult": 1,
        "classes without an object": 2,
        "the order of classes, which becomes that of their names": 1,
    }  # fmt: skip
    dataset(tmp_path / "own", {"a.json": coco([image(1, "x.jpg")], things, {2: "a\u0007b"})})
    with pytest.raises(DataError, match=r"class 'a\\x07b' cannot be kept in XML"):
        convert(f"coco:{tmp_path}/own", tmp_path / "other", "voc")
    assert not (tmp_path / "other").exists()


def test_ultralytics_finds_the_images_from_wherever_it_runs(tmp_path: Path) -> None:
    files: Files = {f"{part}/x.jpg": PHOTO for part in ("train", "val")}
    files |= {f"{part}/x.xml": xml("", [("a", 1, 1, 9, 9)]) for part in ("train", "val")}
    told = convert(f"voc:{dataset(tmp_path / 'own', files)}", tmp_path / "new", "yolo")
    assert (tmp_path / "new/data.yaml").read_text() == 'train: images/train\nval: images/val\nnames:\n  0: "a"\n'
    assert not told["notes"]


@pytest.mark.parametrize("to", FORMATS)
def test_images_of_one_name_stay_apart_and_turned_ones_upright(tmp_path: Path, to: str) -> None:
    files = {f"{folder}/x.jpg": photo(at, orientation=6) for at, folder in enumerate(("one", "images", "two/images"))}
    files |= {
        f"{path.removesuffix('.jpg')}.txt": f"0 0.5 0.5 0.{at + 2} 0.5\n".encode() for at, path in enumerate(files)
    }
    own = listed(f"yolo:{dataset(tmp_path / 'own', {**files, 'classes.txt': b'a'})}")
    convert(f"yolo:{tmp_path}/own", tmp_path / "new", to, "copy")
    got = listed(f"{to}:{tmp_path}/new")
    assert sorted(got.objects.box_A4.round(6).tolist()) == sorted(own.objects.box_A4.round(6).tolist())
    assert got.size_N2.tolist() == [[30, 40]] * 3
    assert not got.faults
    contents = {(tmp_path / "own" / name).read_bytes() for name in own.names}
    assert {(tmp_path / "new" / name).read_bytes() for name in got.names} == contents


def test_outlines_of_turned_pictures_are_not_kept_askew(tmp_path: Path) -> None:
    things = [thing(1, 1, 1, 2, 3, 6, segmentation=[[1, 2, 4, 2, 4, 8]])]
    files = {"x.jpg": photo(1, orientation=6), "a.json": coco([image(1, "x.jpg")], things, {1: "a"})}
    own = listed(f"coco:{dataset(tmp_path, files)}")
    assert own.extra == [{}]
    assert own.notes == ["outlines of objects in pictures that EXIF turns are not kept: 1"]


def test_the_command_tells_what_it_did(server: Server, tmp_path: Path) -> None:
    files = {"x.jpg": PHOTO, "x.xml": xml("x.jpg", [("a", 1, 1, 9, 9)], more="<difficult>1</difficult>")}
    dataset(tmp_path / "set", files)
    ended = server.run("data", "convert", "set", "new", "--to", "yolo", cwd=tmp_path)
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [
        "note: data.yaml has no val, which Ultralytics asks for: there is no validation split to name",
        "all            1 images",
        "1 objects of 1 classes",
        "yolo cannot hold 1 of these: marks of difficult objects",
        "yolo in new, read again and compared",
        f"train on it: `fewer train yolo:{tmp_path}/new`",
    ]
    assert (tmp_path / "new/images/x.jpg").is_symlink()
    ended = server.run("data", "convert", "voc:set", "bare", "--to", "coco", "--images", "none", "--json", cwd=tmp_path)
    assert ended.json["images"] == {"all": 1}
    assert (
        json.loads((tmp_path / "bare/annotations/instances_default.json").read_text())["images"][0]["file_name"]
        == "x.jpg"
    )
    assert [path.name for path in (tmp_path / "bare").iterdir()] == ["annotations"]
    complains(server.run("data", "convert", "set", "new", "--to", "coco", cwd=tmp_path), 2, "nothing is overwritten")
    complains(
        server.run("data", "convert", "none", "other", "--to", "coco", cwd=tmp_path), 3, "none: no such file or folder"
    )
    complains(server.run("data", "convert", "digits", "other", "--to", "coco", cwd=tmp_path), 2, "no boxes in it")
    assert not (tmp_path / "other").exists()


def test_only_sources_of_boxes_are_converted(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"allowed: coco:PATH, voc:PATH, yolo:PATH"):
        convert(f"masks:{tmp_path}", tmp_path / "out", "coco")


def test_a_picture_that_cannot_be_copied_is_named_and_not_the_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset(tmp_path / "own", {"x.jpg": PHOTO, "x.xml": xml("", [("a", 1, 1, 9, 9)])})
    with monkeypatch.context() as patch:
        refuse_to_read(patch, "own/x.jpg")
        with pytest.raises(DataError, match=r"own/x.jpg: cannot be read: Permission denied; fix: make the file read"):
            convert(f"voc:{tmp_path}/own", tmp_path / "new", "coco", "copy")
    refuse_to_read(monkeypatch, "images/x.jpg")
    with pytest.raises(ResourceError, match=r"--out .*new: cannot be written: Permission denied; fix: free space"):
        convert(f"voc:{tmp_path}/own", tmp_path / "new", "coco", "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
