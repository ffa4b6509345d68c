"""Ready recipes, fitted to images and to this machine."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import save_file

from dense_data import box_data, mask_data
from fewer import models
from fewer.core.errors import RecipeError
from fewer.recipe.parse import load_recipe
from fewer.session import one_line, ready
from fewer.session.one_line import choose
from fewer.session.probe import Outlook
from fewer.session.ready import Ready, fit_ready

SMALL = ("model.name=lenet5", "train.batch_size=4")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen(monkeypatch, 1.0)


def seen(monkeypatch: pytest.MonkeyPatch, seconds: float, memory_bytes: float = 0.0) -> None:
    for module in (ready, one_line):
        monkeypatch.setattr(module, "outlook", lambda plan: Outlook((seconds, seconds), memory_bytes))


def photos(side_px: int, images: int = 24) -> str:
    for number in range(images):
        folder = Path("photos", "ab"[number % 2])
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (side_px + 20, side_px), (number, 90, 30)).save(folder / f"{number}.png")
    return "folder:photos"


def stages(found: Ready, key: str) -> list[Any]:
    return [stage.get(key) for stage in tomllib.loads(found.text)["stages"]]


def test_a_curriculum_is_fitted_to_photos_and_its_text_is_the_whole_recipe(tmp_path: Path) -> None:
    found = fit_ready("progressive", photos(130), SMALL)
    assert found.name == "photos-progressive"
    assert (stages(found, "epochs"), stages(found, "side_px")) == ([13, 14, 13], [64, 96, 128])
    assert found.changes == (
        "epochs of the stages 4, 4, 4 → 13, 14, 13: 40 in all: 800 steps of 4 images, within 12 and 40 epochs",
    )
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "photos.toml"
    path.write_text(found.text)
    assert load_recipe(path) == found.recipe, "the text gives the same run, wherever it lies"
    assert found.plan.recipe.train.lr == 0.001
    assert "# 35 to 100 % of its area" in found.text


def test_a_slow_machine_gets_smaller_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch, 4000.0)
    found = fit_ready("photos-progressive", photos(130), SMALL)
    assert stages(found, "side_px") == [48, 64, 96]
    assert any("larger ones would take about 80 minutes on this machine" in change for change in found.changes)
    assert found.seconds == pytest.approx(4800)
    assert fit_ready("photos-progressive", "folder:photos", SMALL, timed=False).plan.largest_side_px == 128


@pytest.mark.parametrize(
    ("name", "side_px", "meant"),
    [("hybrid", 70, "photos"), ("hybrid", 32, "cifar"), ("standard", 8, "tiny"), ("standard", 32, "cifar")],
)
def test_an_ending_means_the_recipe_for_images_of_this_size(name: str, side_px: int, meant: str) -> None:
    keys = [*SMALL, *(["train.lr=0.01"] if meant == "cifar" else [])]
    assert fit_ready(name, photos(side_px), keys, timed=False).name == f"{meant}-{name}"


def test_epochs_and_sides_that_are_asked_for_are_spread_over_the_stages() -> None:
    asked = ["train.epochs=30", "train.side_px=64", "stages.2.lr_scale=0.5", *SMALL]
    found = fit_ready("photos-progressive", photos(130), asked)
    assert (stages(found, "epochs"), stages(found, "side_px")) == ([10, 10, 10], [32, 48, 64])
    assert stages(found, "lr_scale") == [None, None, 0.5]
    own = fit_ready("photos-progressive", "folder:photos", ["stages.0.epochs=2", *SMALL])
    assert stages(own, "epochs") == [2, 14, 13]
    with pytest.raises(RecipeError, match=r"give stages\.0\.epochs=5"):
        fit_ready("photos-progressive", "folder:photos", ["stages=[{epochs=1}]"])


def test_fine_tuning_follows_the_rules_of_the_one_line() -> None:
    save_file(models.build("lenet5", 7, 32).state_dict(), "mine.safetensors", metadata={"model": "lenet5"})
    asked = ["model.weights=mine.safetensors", "train.epochs=6"]
    found, chosen = fit_ready("finetune", photos(90), asked), choose("folder:photos", asked)
    assert (found.name, found.recipe.model.name) == ("photos-finetune", "lenet5")
    assert found.recipe == chosen.recipe
    assert stages(found, "epochs") == [3, 3]


def test_those_for_imagenet_take_other_images_and_a_processor() -> None:
    found = fit_ready("imagenet-hybrid", photos(90), ["model.name=lenet5"])
    content = tomllib.loads(found.text)
    assert (content["data"]["test"], content["data"]["val"]) == ("auto", "5%")
    assert stages(found, "epochs") == [15, 15, 30, 20], "what was published stays"
    assert stages(found, "side_px") == [48, 64, 96, 96]
    assert stages(found, "batch_size") == [2, 2, 2, 2]
    assert (content["train"]["precision"], content["train"]["compile"]) == ("auto", "no")


def test_whole_batches_that_do_not_fit_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch, 1.0, 1e18)
    found = fit_ready("cifar-progressive", photos(32, 80), ["model.name=lenet5", "train.lr=0.01"])
    assert found.recipe.train.batch_size == 15
    assert found.recipe.train.accumulate == found.plan.recipe.train.accumulate == 4
    assert any("of memory" in change for change in found.changes)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match='did you mean "progressive"'):
        fit_ready("progresive", "folder:photos")
    with pytest.raises(RecipeError, match=r"train\.epochz"):
        fit_ready("progressive", "folder:photos", ["train.epochz=3"])


@pytest.mark.parametrize(
    ("asked", "source", "allowed"),
    [
        ("progressive", "voc:boxes", "boxes-standard"),
        ("photos-finetune", "masks:masks", "masks-standard"),
        ("boxes-standard", "masks:masks", "masks-standard"),
        ("masks-standard", "photos", "photos-standard"),
    ],
)
def test_a_recipe_for_other_annotations_is_refused_before_it_is_fitted(
    tmp_path: Path, asked: str, source: str, allowed: str
) -> None:
    box_data(tmp_path / "boxes", 4)
    mask_data(tmp_path / "masks", 4)
    source = photos(32) if source == "photos" else source
    with pytest.raises(RecipeError, match=rf"--recipe {asked}: no recipe for .*; allowed: .*{allowed}"):
        fit_ready(asked, source)
