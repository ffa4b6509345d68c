"""A recipe that is chosen for a source alone."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import save_file

from dense_data import box_data, mask_data
from fewer import models
from fewer.core.errors import RecipeError
from fewer.recipe.parse import load_recipe, parse_recipe
from fewer.session import one_line
from fewer.session.one_line import choose
from fewer.session.probe import Outlook


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(one_line, "outlook", lambda plan: Outlook((1.0, 2.0), 0.0))
    monkeypatch.chdir(tmp_path)


def photos(side_px: int, images: int = 24) -> str:
    for number in range(images):
        folder = Path("photos", "ab"[number % 2])
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (side_px + 20, side_px), (number, 90, 30)).save(folder / f"{number}.png")
    return "folder:photos"


@pytest.mark.parametrize(("side_px", "name"), [(8, "tiny-standard"), (32, "cifar-fast"), (90, "photos-standard")])
def test_without_weights_the_size_of_the_images_decides(side_px: int, name: str) -> None:
    choice = choose(
        photos(side_px), ["model.name=lenet5", "train.batch_size=4"] if side_px == 90 else ["train.batch_size=4"]
    )
    assert choice.name == name
    assert choice.plan.facts.data.train_images + choice.plan.facts.data.val_images == 20
    assert choice.outlook, "`fewer plan` shows the times that the choice has seen"
    assert choice.seconds[1] == 2.0 * one_line.OVERHEAD


def test_small_images_grow_and_muon_trains_them_as_a_study_says_that_it_pays(tmp_path: Path) -> None:
    choice = choose(photos(32), ["train.batch_size=4"])
    assert [(stage.epochs, stage.side_px) for stage in choice.plan.stages] == [(15, 24), (25, 32)]
    assert choice.recipe.train.optimizer == "muon"
    lines = choice.lines("a minute")
    assert lines[1].startswith("why:    images that grow from 24 to 32 px take 8")
    path = tmp_path / "small.toml"
    path.write_text(choice.text)
    assert load_recipe(path) == choice.recipe
    shorter = choose(photos(32), ["train.batch_size=4", "train.epochs=5"])
    assert [(stage.epochs, stage.side_px) for stage in shorter.plan.stages] == [(2, 24), (3, 32)]


def test_few_small_images_get_smaller_batches_and_more_epochs() -> None:
    found = choose(photos(32, 100))
    assert (found.recipe.train.batch_size, found.recipe.train.lr, found.plan.epochs) == (19, 0.205, 40)
    asked = choose(photos(32, 100), ["train.batch_size=50", "train.epochs=12"])
    assert (asked.recipe.train.batch_size, asked.recipe.train.lr, asked.plan.epochs) == (50, 0.205, 12)
    plain = choose(photos(32, 100), ["train.optimizer=sgd"]).recipe.train
    assert (plain.batch_size, plain.lr, plain.epochs) == (19, 0.037, 40), "the rate with the batch"


@pytest.mark.parametrize(
    "key",
    ["train.side_px=32", "train.epochs=1", "model.name=lenet5", "train.evaluation_side_px=32", "train.optimizer=adamw"],
)
def test_training_is_plain_where_the_user_decides_what_the_study_decided(key: str) -> None:
    choice = choose(photos(32), ["train.batch_size=4", key])
    assert (choice.name, len(choice.plan.stages)) == ("small-standard", 1)
    assert not any(line.startswith("why:") for line in choice.lines("a minute"))


def test_boxes_and_masks_have_recipes_of_their_own(tmp_path: Path) -> None:
    boxes, masks = box_data(tmp_path / "boxes", 24), mask_data(tmp_path / "masks", 24)
    found = choose(boxes.split.source.name, ["train.side_px=64"])
    assert (found.name, found.recipe.task.name, found.recipe.train.batch_size) == ("boxes-standard", "detect", 4)
    assert found.plan.facts.data.aspect == 1.5
    assert any(note.startswith("2 classes, boxes of each: ") for note in found.plan.notes)
    found = choose(str(tmp_path / "masks"), ["train.side_px=64"])
    assert (found.name, found.recipe.task.name, found.recipe.train.epochs) == ("masks-standard", "segment", 60)
    assert 'source = "masks:' in found.text
    assert masks.split.source.name.startswith("masks:")


def test_what_was_chosen_is_said_in_three_lines_and_stands_in_the_text(tmp_path: Path) -> None:
    choice = choose(
        photos(90), ["train.epochs=3", "data.test=none", "model.name=lenet5", "augment.crop_scale=[0.5, 1]"]
    )
    chosen, takes, change = choice.lines("a minute")
    assert "24 images of 90 px in 2 classes: lenet5 from random weights, 3 epochs at 96 px" in chosen
    assert "a minute" in takes
    assert "model.weights=default" in takes
    assert "train.epochs=6" in change
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "photos.toml"
    path.write_text(choice.text)
    assert load_recipe(path) == choice.recipe, "the text gives the same run, wherever it lies"
    assert "# 35 to 100 % of its area" in choice.text


def test_weights_at_hand_are_fine_tuned_by_the_network_that_they_belong_to() -> None:
    save_file(models.build("lenet5", 7, 32).state_dict(), "mine.safetensors", metadata={"model": "lenet5"})
    choice = choose(photos(90), ["model.weights=mine.safetensors"])
    assert (choice.name, choice.recipe.model.name) == ("photos-finetune", "lenet5")
    assert choice.recipe.model.weights == str(Path("mine.safetensors").resolve())
    assert choice.recipe.train.optimizer == "adamw"
    head, whole = choice.plan.stages
    assert (head.keeps_features, head.side_px, head.evaluation_side_px) == (True, 96, 96)
    assert (whole.frozen_layers, whole.side_px, whole.evaluation_side_px) == (0, 64, 96)
    said = "2 epochs of the head at 96 px, then 2 epochs at 64 px, evaluated at 96 px"
    assert said in choose("folder:photos", ["model.weights=mine.safetensors", "train.epochs=4"]).lines("")[0]
    later = choose("folder:photos", ["model.weights=mine.safetensors", "stages.1.epochs=3"])
    assert later.plan.stages[1].epochs == 3
    for epochs, each in ((2, [1, 1]), (3, [2, 1])):
        few = choose("folder:photos", ["model.weights=mine.safetensors", f"train.epochs={epochs}"])
        assert [stage.epochs for stage in few.plan.stages] == each
    asked = choose("folder:photos", ["model.weights=mine.safetensors", "train.side_px=40"])
    assert asked.plan.evaluation_side_px == 40
    save_file(models.build("lenet5", 7, 32).state_dict(), "lenet5-mine.safetensors")
    assert choose("folder:photos", ["model.weights=lenet5-mine.safetensors"]).recipe.model.name == "lenet5"
    save_file(models.build("lenet5", 7, 32).state_dict(), "resnet18.safetensors")
    with pytest.raises(RecipeError, match="which network these weights belong to; give it"):
        choose("folder:photos", ["model.weights=resnet18.safetensors"])


def test_weights_that_were_downloaded_before_are_at_hand(tmp_path: Path) -> None:
    kept = tmp_path / "torch" / "hub" / "checkpoints" / "mobilenet_v2-7ebf99e0.pth"
    kept.parent.mkdir(parents=True)
    kept.touch()
    data = one_line.DataFacts(2000, 100, 500, ("a", "b"), 200)
    name, values = one_line._recipe_for(data, {})
    assert (name, values["model", "weights"]) == ("photos-finetune", "default")
    assert one_line._recipe_for(data, {"model": {"weights": "none"}})[0] == "photos-standard"


def test_fewer_images_get_more_epochs_and_smaller_batches() -> None:
    few, many = (one_line.DataFacts(images, 0, 0, ("a", "b"), 200) for images in (40, 100_000))
    for model in ({}, {"name": "resnet18", "weights": "default"}):
        name, of_few = one_line._recipe_for(few, {"model": model})
        _, of_many = one_line._recipe_for(many, {"model": model})
        limits = one_line._STEPS[name]
        keys = [("stages", str(n), "epochs") for n in range(2)] if len(limits) > 1 else [("train", "epochs")]
        for key, (_, least, most) in zip(keys, limits, strict=True):
            assert (of_few[key], of_many[key]) == (most, least)
        assert (of_few["train", "batch_size"], of_many["train", "batch_size"]) == (10, 32)


def test_a_slow_machine_gets_a_smaller_side(monkeypatch: pytest.MonkeyPatch) -> None:
    source = photos(130)
    assert choose(source, ["model.name=lenet5"]).plan.largest_side_px == 128
    monkeypatch.setattr(one_line, "outlook", lambda plan: Outlook((1.0, 5000.0), 0.0))
    assert choose(source, ["model.name=lenet5"]).plan.largest_side_px == 96
    assert choose(source, ["model.name=lenet5"], timed=False).plan.largest_side_px == 128
    assert choose(source, ["model.name=lenet5", "train.side_px=40"]).plan.largest_side_px == 40
    stages = "stages=[{ epochs = 1, side_px = 36 }]"
    choice = choose(source, ["model.name=lenet5", stages])
    assert (choice.plan.largest_side_px, choice.plan.epochs) == (36, 1)
    assert parse_recipe(tomllib.loads(choice.text)).stages == choice.recipe.stages


def test_another_model_or_optimizer_takes_no_keys_of_the_one_it_replaces() -> None:
    choice = choose(photos(32), ["model.name=lenet5", "train.optimizer=adamw", "train.lr=0.001"])
    assert (choice.name, choice.recipe.model.name, choice.recipe.train.optimizer) == (
        "small-standard",
        "lenet5",
        "adamw",
    )
    assert "whiten" not in choice.text
    assert "momentum" not in choice.text


def test_a_wrong_key_is_told_as_for_any_recipe() -> None:
    with pytest.raises(RecipeError, match=r'argument "train\.epochz=3".*did you mean "train\.epochs"'):
        choose(photos(90), ["train.epochz=3"])
    assert tomllib.loads(choose("folder:photos", ["model.name=lenet5"]).text)["train"]["side_px"] == 96
