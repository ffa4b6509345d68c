"""A run whose folder, images, labels or weights have moved: it goes on and is evaluated where they are the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from fewer import fit, load_recipe, models, resume
from fewer.core.errors import DataError, RecipeError, Stopped
from fewer.inference.evaluate import evaluate
from fewer.recipe.places import require_present
from fewer.runs.record import read_rows
from fewer.session.progress import Silent
from fewer.testing.harness import one_thread
from photos import write_photos

RECIPE = """
[data]
source = "folder:photos"
test = "folder:held-out"
val = "20%"
labels = { csv = "labels.csv", column = "label" }
cache = "no"
[model]
name = "lenet5"
width = 0.1
weights = "first.safetensors"
[train]
epochs = 2
batch_size = 8
lr = 0.05
precision = "fp32"
[out]
plots = false
previews = false
"""


class Stopping(Silent):
    """A display that asks the run to stop behind its second batch."""

    left = 2

    def row(self, row: Any, session: Any) -> None:
        self.left -= 1
        session.run.stop_requested = not self.left


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, all that it reads, a finished run and a stopped one."""
    folder = tmp_path_factory.mktemp("moved") / "project"
    write_photos(folder / "photos", 12, 32, 32)
    write_photos(folder / "held-out", 3, 32, 32)
    rows = [f"{name}/{number}.png,{name}" for name in ("cat", "dog") for number in range(12)]
    (folder / "labels.csv").write_text("\n".join(["file,label", *rows]))
    save_file(models.build("lenet5", 2, 32, width=0.1).state_dict(), folder / "first.safetensors")
    (folder / "recipe.toml").write_text(RECIPE)
    recipe = load_recipe(folder / "recipe.toml")
    fit(recipe, folder / "runs" / "whole")
    with pytest.raises(Stopped):
        fit(recipe, folder / "runs" / "stopped", display=Stopping())
    return folder


@pytest.fixture
def elsewhere(project: Path, tmp_path: Path) -> Iterator[Path]:
    """The project in another place; nothing is left in the old one."""
    shutil.copytree(project, tmp_path / "new" / "place", symlinks=True)
    project.rename(project.with_name("gone"))
    yield tmp_path / "new" / "place"
    project.with_name("gone").rename(project)


def result_of(run: Path) -> Any:
    from fewer.runs.record import read_json

    return read_json(run / "result.json")


def test_a_project_that_moved_goes_on_and_is_evaluated(project: Path, elsewhere: Path) -> None:
    run = elsewhere / "runs" / "stopped"
    whole = result_of(elsewhere / "runs" / "whole")
    assert resume(run)["state"] == whole["state"]
    log = (run / "log.txt").read_text()
    assert f"data.source: folder:{project / 'photos'} is now folder:{elsewhere / 'photos'}" in log
    assert evaluate(elsewhere / "runs" / "whole")["metrics"]["test/loss"] == whole["metrics"]["test/loss"]
    written = load_recipe(run / "recipe.resolved.toml")
    assert written.model.weights == str(elsewhere / "first.safetensors")
    require_present(written)
    assert resume(run, ["train.epochs=3"])["epochs"] == 3, "the new places are those of the run from now on"


def test_what_moved_alone_is_named(project: Path, tmp_path: Path) -> None:
    """Images, labels, weights and test set each by its key; the run is that which did not move."""
    run = Path(shutil.copytree(project / "runs" / "stopped", tmp_path / "run", symlinks=True))
    names = ("photos", "held-out", "labels.csv", "first.safetensors")
    for name in names:
        (project / name).rename(tmp_path / name)
    try:
        keys = ("data.source", "data.test", "data.labels.csv", "model.weights")
        with pytest.raises(DataError) as error:
            resume(run)
        assert len(str(error.value).splitlines()) == 4, "everything that is missing, at once"
        assert all(f"{key}=PLACE" in str(error.value) for key in keys)
        with pytest.raises(DataError, match=r"data\.source=PLACE"):
            evaluate(run)
        kinds = ("folder:", "folder:", "", "")
        places = [f"{key}={kind}{tmp_path / name}" for key, kind, name in zip(keys, kinds, names, strict=True)]
        assert resume(run, places)["state"] == result_of(project / "runs" / "whole")["state"]
        (steps,) = [len([row for row in read_rows(run / "rows.jsonl") if row["kind"] == "step"])]
        assert steps == 6
        shutil.move(tmp_path / "photos", tmp_path / "images")
        moved = evaluate(run, [f"data.source=folder:{tmp_path / 'images'}"], split="val")
        assert moved["metrics"]["val/loss"] == result_of(run)["metrics"]["val/loss"]
        (tmp_path / "images").rename(tmp_path / "photos")
    finally:
        for name in names:
            (tmp_path / name).rename(project / name)


def _other_content(folder: Path) -> str:
    shutil.copytree(folder.parent / "photos", folder / "other")
    shutil.copy(folder / "other" / "cat" / "0.png", folder / "other" / "cat" / "1.png")
    return f"data.source=folder:{folder / 'other'}"


def _other_labels(folder: Path) -> str:
    text = (folder.parent / "labels.csv").read_text().replace("cat/0.png,cat", "cat/0.png,dog")
    (folder / "other.csv").write_text(text)
    return f"data.labels.csv={folder / 'other.csv'}"


def _other_weights(folder: Path) -> str:
    save_file(models.build("lenet5", 2, 32, width=0.1).state_dict(), folder / "other.safetensors")
    return f"model.weights={folder / 'other.safetensors'}"


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (_other_content, DataError, "1 with changed content"),
        (_other_labels, DataError, "changed label"),
        (_other_weights, RecipeError, "not the weights that the run began with"),
        (lambda folder: f"data.source=tar:{folder / 'photos.tar'}", RecipeError, "keeps its data.source"),
        (lambda folder: "data.val=30%", RecipeError, "keeps its data.val"),
        (lambda folder: "model.weights=none", RecipeError, "keeps its model.weights"),
    ],
)
def test_what_is_not_the_same_is_refused(
    project: Path, tmp_path: Path, change: Callable[[Path], str], kind: type[Exception], message: str
) -> None:
    run = project / "runs" / "stopped"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    (tmp_path / "beside").mkdir()
    folder = tmp_path / "beside"
    for name in ("photos", "labels.csv"):
        (tmp_path / name).symlink_to(project / name)
    with pytest.raises(kind, match=message):
        resume(run, [change(folder)])
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    assert before == after


def test_weights_that_nothing_can_be_compared_with_are_not_taken(project: Path, tmp_path: Path) -> None:
    from fewer.core.errors import CheckpointError

    run = Path(shutil.copytree(project / "runs" / "stopped", tmp_path / "run", symlinks=True))
    shutil.copy(project / "first.safetensors", tmp_path / "second.safetensors")
    (run / "plan.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"plan\.json cannot be read"):
        resume(run, [f"model.weights={tmp_path / 'second.safetensors'}"])
