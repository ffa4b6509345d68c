"""`fewer data check` and `fewer data stats` of images with boxes or masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotated import coco, dataset, image, mask, photo, thing, xml
from fewer.core.objects import ObjectTable
from fewer.inspection.annotated import BoxPart, twins
from fewer.inspection.check import check
from fewer.inspection.findings import Finding
from fewer.inspection.inventory import inventory_of
from fewer.inspection.scan import scan
from server import Server, complains
from zoo import Files, encoded, picture

BOX = ("a", 2, 2, 19, 19)


def found(text: str) -> list[Finding]:
    inventory = inventory_of(text)
    return check(inventory, scan(inventory, processes=0))


def codes(text: str) -> list[tuple[str, str, str]]:
    return [(finding.code, finding.split, finding.path) for finding in found(text)]


def test_every_fault_of_boxes_is_found_in_one_run(tmp_path: Path) -> None:
    things = [
        thing(1, 1, 1, 2, 10, 10), thing(1, 1, 1, 2, 10, 10.1), thing(1, 1, 1, 2, 0, 5), thing(1, 1, 9, 9, -3, 5),
        thing(1, 1, 35, 2, 20, 5), thing(1, 9, 1, 2, 3, 4), thing(8, 1, 1, 2, 3, 4), thing(1, 1, 1, 2, 3, float("inf")),
        thing(2, 2, 2, 2, 9, 9),
    ]  # fmt: skip
    content = coco([image(1, "x.jpg"), image(2, "y.jpg"), image(3, "no.jpg")], things, {1: "a", 2: "b", 3: "c"})
    files = {"x.jpg": photo(1), "y.jpg": photo(2), "z.jpg": photo(3), "a.json": content}
    assert codes(f"coco:{dataset(tmp_path, files)}") == [
        ("image-missing", "", "a.json"), ("image-unannotated", "", "z.jpg"), ("unknown-image", "", "a.json"),
        ("unknown-category", "all", "x.jpg"), ("box-malformed", "all", "x.jpg"), ("box-inverted", "all", "x.jpg"),
        ("box-empty", "all", "x.jpg"), ("box-outside", "all", "x.jpg"), ("box-duplicate", "all", "x.jpg"),
        ("class-not-shown", "all", "c"),
    ]  # fmt: skip


def test_a_split_of_difficult_objects_alone_is_named(tmp_path: Path) -> None:
    hard, easy = (f"<difficult>{mark}</difficult>" for mark in (1, 0))
    files = {f"{part}/{part}.jpg": photo(seed) for seed, part in enumerate(("train", "val"))}
    files |= {"train/train.xml": xml("", [BOX], more=easy), "val/val.xml": xml("", [BOX, BOX], more=hard)}
    text = f"voc:{dataset(tmp_path, files)}"
    (told,) = [each for each in found(text) if each.code == "all-difficult"]
    assert (told.split, told.reason) == ("val", "none of 2 objects counts in evaluation")
    dataset(tmp_path, {"val/val.xml": xml("", [BOX], more=easy)})
    assert not [each for each in found(text) if each.code == "all-difficult"]


def test_files_that_training_refuses_are_all_named(tmp_path: Path) -> None:
    files = {f"{i}.jpg": photo(i) for i in range(3)} | {
        "0.xml": xml("", [BOX]),
        "1.xml": b"<a",
        "2.xml": b"<!DOCTYPE a>",
    }
    assert codes(f"voc:{dataset(tmp_path, files)}") == [
        ("annotation-unreadable", "", "1.xml"), ("annotation-unreadable", "", "2.xml"),
        ("image-unannotated", "", "1.jpg"), ("image-unannotated", "", "2.jpg"),
    ]  # fmt: skip


def test_images_alike_in_two_splits_are_found_as_for_classes(tmp_path: Path) -> None:
    scene = picture(1, 48, 36).resize((96, 72))
    files = {
        "train/a.png": encoded(scene),
        "test/b.png": encoded(scene),
        "test/c.jpg": encoded(scene, "JPEG", quality=95),
    }
    files |= {f"{path.rpartition('.')[0]}.xml": xml("", [BOX], (96, 72)) for path in list(files)}
    assert codes(f"voc:{dataset(tmp_path, files)}") == [
        ("identical-across-splits", "test", "test/b.png"), ("alike-across-splits", "test", "test/c.jpg"),
    ]  # fmt: skip


def test_every_fault_of_masks_is_found_in_one_run(tmp_path: Path) -> None:
    ids = np.arange(12).reshape(3, 4) % 2
    masks = {
        "ok": mask(ids), "size": mask(ids.T), "id": mask(ids * 7), "void": mask(np.full((3, 4), 255)), "bad": b"JUNK",
        "colour": encoded(picture(4, 4, 3)),
    }  # fmt: skip
    files: Files = {f"images/{name}.jpg": photo(at, 4, 3) for at, name in enumerate([*masks, "alone"])}
    files |= {f"masks/{name}.png": content for name, content in masks.items()}
    files |= {"masks/lost.png": mask(ids), "classes.txt": b"a\nb\nc\n"}
    seen = codes(f"masks:{dataset(tmp_path, files)}")
    assert [each for each in seen if each[0] not in ("tiny", "alike-within-split")] == [
        ("mask-unreadable", "all", "images/bad.jpg"), ("mask-size", "all", "images/size.jpg"),
        ("mask-values", "all", "images/colour.jpg"), ("mask-values", "all", "images/id.jpg"),
        ("image-missing", "", "masks/lost.png"), ("mask-missing", "", "images/alone.jpg"),
        ("mask-void", "all", "images/void.jpg"), ("class-not-shown", "all", "c"),
    ]  # fmt: skip


def test_the_command_says_what_is_wrong_and_exits_with_3(server: Server, tmp_path: Path) -> None:
    dataset(tmp_path / "set", {"x.jpg": photo(1), "x.xml": xml("", [BOX, ("a", 5, 5, 5, 5), ("b", 9, 9, 20, 20)])})
    ended = server.run("data", "check", "set", cwd=tmp_path)
    assert ended.code == 3
    assert "[all]" not in ended.stdout
    assert "warning box-empty: 1 box without area: left out; fix: draw it again, or remove it" in ended.stdout
    assert "        x.jpg: box 5, 5, 5, 5 of 40x30 pixels" in ended.stdout
    assert "2 classes: a 1, b 1" in ended.stdout
    dataset(tmp_path / "set", {"x.xml": xml("", [BOX, ("b", 9, 9, 20, 20)])})
    ended = server.run("data", "check", "set", "--json", cwd=tmp_path)
    assert ended.code == 0
    assert ended.json["classes"] == {"a": 1, "b": 1}


def test_keys_say_how_a_source_and_a_recipe_are_read(server: Server, tmp_path: Path) -> None:
    files = {f"images/{at}.jpg": photo(at) for at in range(3)}
    files |= {f"masks/{at}.png": mask(np.full((30, 40), [1, 2, 11][at])) for at in range(3)}
    dataset(tmp_path / "set", {**files, "classes.txt": b"a\nb\nc\n"})
    (tmp_path / "r.toml").write_text(
        '[data]\nsource = "masks:set"\ntest = "none"\nval = "none"\n[model]\nname = "lraspp_mobilenet_v2"\n'
        '[task]\nname = "segment"\n'
    )
    for place in ("set", "r.toml"):
        bare = server.run("data", "check", place, cwd=tmp_path)
        assert "error   mask-values: 1 mask of ids or colours that are no class" in bare.stdout
        assert "id 11 is no class" in bare.stdout
        ended = server.run("data", "check", place, "data.ignore_index=11", cwd=tmp_path)
        assert "mask-values" not in ended.stdout
        assert "mask-void" in ended.stdout
    figures = server.run("data", "stats", "set", "data.ignore_index=11", "--json", cwd=tmp_path)
    assert figures.code == 0
    refused = 'argument "data.val=none": of a source alone only these keys', "data.ignore_index, data.difficult"
    complains(server.run("data", "check", "set", "data.val=none", cwd=tmp_path), 2, *refused)
    complains(server.run("data", "check", "set", "data.ignore_index=x", cwd=tmp_path), 2, "data.ignore_index = 'x'")


def test_ids_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    files = {f"images/{at}.jpg": photo(at) for at in range(3)}
    files |= {f"masks/{at}.png": mask(np.full((30, 40), [2, 10, 1][at])) for at in range(3)}
    assert list(inventory_of(f"masks:{dataset(tmp_path, files)}").classes) == ["1", "2", "10"]


@given(st.lists(st.tuples(*[st.integers(0, 6)] * 2, *[st.integers(1, 40)] * 2, st.integers(0, 1)), max_size=8))
def test_twins_are_pairs_of_one_class_that_overlap_almost_wholly(rows: list[tuple[int, int, int, int, int]]) -> None:
    boxes = [[x, y, x + wide, y + high] for x, y, wide, high, _ in rows]
    table = ObjectTable.of([(boxes, [row[4] for row in rows])])
    wanted = 0
    for i, one in enumerate(boxes):
        for j, other in enumerate(boxes[:i]):
            wide = min(one[2], other[2]) - max(one[0], other[0])
            high = min(one[3], other[3]) - max(one[1], other[1])
            shared = max(0, wide) * max(0, high)
            union = rows[i][2] * rows[i][3] + rows[j][2] * rows[j][3] - shared
            wanted += rows[i][4] == rows[j][4] and shared / union > 0.95
    part = BoxPart(["a", "b"], table, [0], np.array([[50, 50]]))
    assert len(list(twins(part))) == wanted


def test_twins_among_very_many_boxes_are_found() -> None:
    boxes = [[float(i), 0.0, i + 5.0, 5.0] for i in range(600)]
    table = ObjectTable.of([([*boxes, [300.0, 0.0, 305.0, 5.1]], [0] * 601)])
    assert [reason for _, reason in twins(BoxPart(["a"], table, [0], np.array([[700, 9]])))] == [
        "'a' twice: boxes 300, 0, 305, 5 and 300, 0, 305, 5.1"
    ]


@pytest.mark.parametrize("kind", ["voc", "masks"])
def test_a_recipe_s_splits_are_checked_too(tmp_path: Path, kind: str) -> None:
    files: Files = {f"images/{i}.jpg": photo(i) for i in range(8)}
    if kind == "voc":
        files |= {f"annotations/{i}.xml": xml("", [BOX, ("b", 4, 4, 9, 9), ("b", 4, 4, 4, 9)]) for i in range(8)}
    else:
        files |= {f"masks/{i}.png": mask(np.full((30, 40), 9 * (i == 3) + 1)) for i in range(8)}
        files["classes.txt"] = b"a\nb\n"
    dataset(tmp_path, files)
    (tmp_path / "r.toml").write_text(f'[data]\nsource = "{kind}:."\ntest = "none"\n[model]\nname = "lenet5"\n')
    inventory = inventory_of(str(tmp_path / "r.toml"))
    seen = {finding.code for finding in check(inventory, scan(inventory, processes=0))}
    assert ("box-empty" if kind == "voc" else "mask-values") in seen


def test_a_fault_stands_under_the_split_of_its_own_source(tmp_path: Path) -> None:
    for at, part in enumerate(("train", "test")):
        things = [thing(1, 1, 1, 2, 10, 10), *([thing(1, 1, 5, 5, 0, 5)] if part == "train" else [])]
        content = coco([image(1, "images/1.jpg"), image(2, "images/2.jpg")], things, {1: "a"})
        files = {"images/1.jpg": photo(2 * at), "images/2.jpg": photo(2 * at + 1), "a.json": content}
        dataset(tmp_path / part, files)
    recipe = '[data]\nsource = "coco:train"\ntest = "coco:test"\nval = "none"\n[model]\nname = "lenet5"\n'
    (tmp_path / "r.toml").write_text(recipe)
    assert [each for each in codes(str(tmp_path / "r.toml")) if each[0] == "box-empty"] == [
        ("box-empty", "train", "images/1.jpg")
    ]


def test_boxes_are_looked_at_too_where_a_recipe_s_sources_do_not_fit_together(tmp_path: Path) -> None:
    twice = [thing(1, 1, 1, 2, 10, 10), thing(1, 1, 1, 2, 10, 10.1)]
    for at, name in enumerate("ab"):  # classes of the test source are not those of training
        content = coco([image(1, "1.jpg")], twice, {1: name})
        dataset(tmp_path / name, {"1.jpg": photo(at), "a.json": content})
    recipe = '[data]\nsource = "coco:a"\ntest = "coco:b"\nval = "none"\n[model]\nname = "lenet5"\n'
    (tmp_path / "r.toml").write_text(recipe)
    inventory = inventory_of(str(tmp_path / "r.toml"))
    assert [part.split for part in inventory.parts if part.annotated] == ["train", "test"]
    assert [each[1] for each in codes(str(tmp_path / "r.toml")) if each[0] == "box-duplicate"] == ["train", "test"]
