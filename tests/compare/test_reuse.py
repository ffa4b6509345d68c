"""Earlier runs of a comparison: real images and labels are replaced under finished ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from fewer.compare.arms import Arm, at_end, with_seed
from fewer.compare.grid import read_cell
from fewer.compare.reuse import Prepared, refuse_foreign
from fewer.compare.variants import Base, plain_of
from fewer.core.errors import DataError, RecipeError
from fewer.runs.folder import MANIFEST, RESOLVED
from fewer.session.build import make_plan, open_data


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """A recipe on 24 photos of two classes, with the labels of the training images in a file."""
    for index in range(24):
        path = tmp_path / "photos" / ("cat" if index % 2 else "dog") / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (index, 0, 0)).save(path)
    lines = [f"{'cat' if index % 2 else 'dog'}/{index:02}.png,{'cat' if index % 2 else 'dog'}" for index in range(24)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *lines, ""]))
    (tmp_path / "recipe.toml").write_text(
        f'[data]\nsource = "folder:{tmp_path / "photos"}"\nval = "25%"\ncache = "no"\n'
        f'labels = {{ csv = "{tmp_path / "labels.csv"}", column = "label" }}\n'
        '[model]\nname = "lenet5"\nwidth = 0.2\n[train]\nepochs = 2\nbatch_size = 8\n'
    )
    return Base.read(tmp_path / "recipe.toml")


def prepared(base: Base) -> tuple[Arm, dict[str, Prepared]]:
    arm = Arm("baseline", plain_of(base))
    splits = open_data(arm.recipe)
    return arm, {arm.key: Prepared(make_plan(at_end(arm.recipe), splits), splits)}


def earlier_run(base: Base, runs: Path, state: str = "done", best_epoch: int = 1) -> None:
    """What a run of this recipe on today's data leaves in its folder."""
    arm, today = prepared(base)
    folder = arm.folder(runs) / "seed0"
    folder.mkdir(parents=True)
    plan, splits = today[arm.key].plan, today[arm.key].splits
    (folder / RESOLVED).write_text(with_seed(arm.recipe, 0, {}).to_toml())
    (folder / MANIFEST).write_bytes(splits.manifest().packed())
    if state == "done":
        result = {"epochs": 2, "metrics": {"val/top1": 0.5}, "best": {"epoch": best_epoch}, "digest": plan.digest}
        (folder / "result.json").write_text(json.dumps({**result, "fingerprint": splits.fingerprint}))
    elif state == "failed":
        (folder / "status.json").write_text(json.dumps({"state": "failed", "exit_code": 4, "message": "diverged"}))


def replace_every_image(root: Path) -> None:
    for path in root.glob("photos/*/*.png"):
        Image.new("RGB", (8, 8), (0, 255, int(path.stem))).save(path)


def swap_two_labels(root: Path) -> None:
    text = (root / "labels.csv").read_text()
    text = text.replace("dog/00.png,dog", "dog/00.png,cat").replace("cat/01.png,cat", "cat/01.png,dog")
    (root / "labels.csv").write_text(text)


def check(base: Base, runs: Path, state: str, metric: str = "val/top1") -> None:
    arm, today = prepared(base)
    cell = read_cell(arm, 0, runs)
    assert cell.state == state
    refuse_foreign([cell], today, metric)


@pytest.mark.parametrize("state", ["done", "failed", "begun"])
@pytest.mark.parametrize(
    ("change", "part"), [(replace_every_image, "with changed content"), (swap_two_labels, "2 with a changed label")]
)
def test_runs_of_other_images_or_labels_are_refused(
    base: Base, tmp_path: Path, state: str, change: Callable[[Path], None], part: str
) -> None:
    """Number and names of images stay as they were, and with them the recipe's digest."""
    earlier_run(base, tmp_path / "runs", state)
    check(base, tmp_path / "runs", state)  # nothing has changed yet
    before = prepared(base)[1]
    change(tmp_path)
    assert {key: each.plan.digest for key, each in prepared(base)[1].items()} == {
        key: each.plan.digest for key, each in before.items()
    }
    with pytest.raises(DataError, match=rf"images or labels have changed since this run.*{part}.*--out"):
        check(base, tmp_path / "runs", state)


def test_a_run_of_another_digest_is_refused(base: Base, tmp_path: Path) -> None:
    earlier_run(base, tmp_path / "runs")
    (path,) = tmp_path.glob("runs/*/seed0/result.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "digest": "0123456789abcdef"}))
    with pytest.raises(RecipeError, match=r"digest is 0123456789abcdef.*--out"):
        check(base, tmp_path / "runs", "done")


def test_a_run_judged_by_the_best_of_its_epochs_is_refused(base: Base, tmp_path: Path) -> None:
    earlier_run(base, tmp_path / "runs", best_epoch=0)
    with pytest.raises(RecipeError, match=r"val/top1 is the best of its epochs.*--out"):
        check(base, tmp_path / "runs", "done")
    check(base, tmp_path / "runs", "done", metric="test/top1")  # the test images chose nothing


def test_a_begun_run_that_looks_at_every_epoch_is_refused(base: Base, tmp_path: Path) -> None:
    earlier_run(base, tmp_path / "runs", "begun")
    (path,) = tmp_path.glob(f"runs/*/seed0/{RESOLVED}")
    path.write_text(path.read_text().replace("every = 0", "every = 1"))
    with pytest.raises(RecipeError, match="evaluated at their end only"):
        check(base, tmp_path / "runs", "begun")
