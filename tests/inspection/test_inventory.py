"""Inventory of a source: complete for a sound one, as far as possible for a faulty one."""

from __future__ import annotations

import os
import re
import tarfile
from pathlib import Path

import pytest

from fewer.core.errors import DataError, FewerError
from fewer.data.sources import named, open_source
from fewer.inspection.check import check
from fewer.inspection.inventory import inventory_of
from fewer.inspection.scan import scan
from fewer.recipe.parse import parse_recipe
from fewer.session.build import make_plan, open_data
from server import Ended
from zoo import encoded, findings, picture, plain, written


def test_all_that_is_wrong_with_a_layout_is_listed(tmp_path: Path) -> None:
    root = written(tmp_path / "f", {f"{label}/{i}.png": encoded(picture(i)) for label in "ab" for i in range(2)})
    written(root, {"stray.png": encoded(picture(9)), "a/deeper/x.png": encoded(picture(8)), "c/x.txt": b""})
    (root / "d").mkdir()
    os.mkfifo(root / "b" / "pipe.png")
    (root / "b" / "nowhere.png").symlink_to(root / "gone.png")
    (root / "b" / "self.png").symlink_to(root / "b" / "self.png")
    (root / "loop").mkdir()
    (root / "loop" / "up").symlink_to(root)
    with pytest.raises(DataError):
        open_source(f"folder:{root}")
    found = {(f.code, f.path) for f in findings(f"folder:{root}") if f.kind.effect == "stops"}
    assert found >= {
        ("outside-class-folder", "stray.png"),
        ("nested-folder", "a/deeper"),
        ("empty-class", "c"),
        ("empty-class", "d"),
        ("not-a-file", "b/pipe.png"),
        ("not-a-file", "b/nowhere.png"),
        ("not-a-file", "b/self.png"),
        ("link-loop", "loop/up"),
    }


def test_a_tar_gives_the_same_findings(zoo: Path, checked: Ended, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "zoo.tar", "w") as out:
        out.add(zoo, arcname=".")
    one = {(f["code"], f["path"]) for f in checked.json["findings"]}
    assert {(f.code, f.as_json()["path"]) for f in findings(f"tar:{tmp_path / 'zoo.tar'}")} == one
    with tarfile.open(tmp_path / "empty.tar", "w") as out:
        out.add(written(tmp_path / "e", plain("x", 0)) / "x", arcname="x")
        folder = tarfile.TarInfo("x/nothing")
        folder.type = tarfile.DIRTYPE
        out.addfile(folder)
    assert [(f.code, f.path) for f in findings(f"tar:{tmp_path / 'empty.tar'}")] == [("empty-class", "x/nothing")]


def test_a_recipe_is_looked_at_as_it_would_train(tmp_path: Path) -> None:
    written(tmp_path / "train", {f"{c}/{i}.png": encoded(picture(i + 100 * ord(c))) for c in "pq" for i in range(10)})
    written(tmp_path / "test", {"p/0.png": encoded(picture(100 * ord("p"))), "q/0.png": encoded(picture(7))})
    recipe = tmp_path / "r.toml"
    recipe.write_text('[data]\nsource = "folder:train"\ntest = "folder:test"\nval = "20%"\n[model]\nname = "lenet5"\n')
    inventory = inventory_of(str(recipe))
    assert {part.split: len(part) for part in inventory.parts} == {"train": 16, "val": 4, "test": 2}
    leaks = [f for f in check(inventory, scan(inventory, processes=0)) if f.kind.effect == "leaks"]
    assert [(f.split, f.path) for f in leaks] == [("test", "p/0.png")]
    written(tmp_path / "test", {"r/0.png": encoded(picture(5))})
    found = [f for f in findings(str(recipe)) if f.kind.effect == "stops"]
    assert [(f.code, f.path) for f in found] == [("class-only-in-test", "r")]


def test_bare_paths(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"")
    assert named(str(tmp_path), tmp_path) == f"folder:{tmp_path}"
    assert named("x.tar", tmp_path) == "tar:x.tar"
    assert named("digits", tmp_path) == "digits"


SITUATIONS = {
    ("x",): "data.source: 1 class ('x')",
    ("images/a", "images/b", "masks/a", "masks/b"): "which folder is the class?",
    ("cat/2021", "cat/2022", "dog/2021", "dog/2022"): "which folder is the class?",
    ("train", "test"): "without class folders",
    ("train_a/x", "train_b/x", "test/x"): "both look like train images",
    ("ant", "b\udce9e"): "is no UTF-8 text",
}
NOTED = {
    ("Training/a", "Training/b", "Testing/a"): "Training/ as train/, Testing/ as test/",
    ("a", "b", "@eaDir/x.png"): "of a system or network drive",
    ("cat/indoor", "cat/outdoor", "dog"): "cat/indoor/ as 'cat'",
    ("train/n01/images", "train/n02/images", "val/images"): "have no labels",
}


@pytest.mark.parametrize("folders", SITUATIONS)
def test_what_training_refuses_is_an_error(tmp_path: Path, folders: tuple[str, ...]) -> None:
    root = written(tmp_path, {f"{each}/{i}.png": encoded(picture(i)) for each in folders for i in range(2)})
    inventory = inventory_of(f"folder:{root}")
    (found,) = (f for f in inventory.findings if f.kind.effect == "stops")
    assert SITUATIONS[folders] in found.reason
    recipe = parse_recipe({"data": {"source": f"folder:{root}"}, "model": {"name": "lenet5"}})
    with pytest.raises(FewerError, match=re.escape(SITUATIONS[folders])):
        make_plan(recipe, open_data(recipe))


@pytest.mark.parametrize("folders", NOTED)
def test_what_was_decided_is_a_note(tmp_path: Path, folders: tuple[str, ...]) -> None:
    root = written(tmp_path, {f"{each}/{i}.png": encoded(picture(i)) for each in folders for i in range(2)})
    inventory = inventory_of(f"folder:{root}")
    assert not inventory.findings
    assert any(NOTED[folders] in note for note in inventory.notes)
    assert len(inventory.classes) == 2


def test_images_without_folders_are_named_and_not_said_to_be_missing(tmp_path: Path) -> None:
    root = written(tmp_path / "f", {f"{i}.png": encoded(picture(i)) for i in range(2)})
    found = [(finding.code, finding.path) for finding in findings(f"folder:{root}")]
    assert found == [("outside-class-folder", "0.png"), ("outside-class-folder", "1.png")]
    with pytest.raises(DataError, match="fix: move them to class folders, or put their boxes or masks beside them"):
        open_source(f"folder:{root}")
