"""Recipes that come with the package."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from fewer import tasks
from fewer.plan.compile import compile_plan
from fewer.plan.flops import Flops
from fewer.plan.plan import Plan
from fewer.recipe import shipped
from fewer.recipe.parse import parse_recipe
from planning import facts

TEXT = """# Header.
[data]
source = "digits"  # where from

[train]
epochs = 4      # few
# lr = 0.1

[out]
plots = true
"""


@pytest.mark.parametrize("name", shipped.names())
def test_each_is_a_whole_recipe_whose_header_says_what_it_is(name: str) -> None:
    text = shipped.text(name)
    parse_recipe(tomllib.loads(text))
    header = text.partition("\n[")[0]
    assert all(line.startswith("#") for line in header.strip().splitlines())
    assert "fewer train " in header
    card = shipped.card(name)
    assert card.name == name
    assert card.purpose.endswith(".")
    assert card.time
    assert card.result


def planned(name: str) -> Plan:
    """The plan for as many images as ImageNet-1k has: nobody has to have them; frozen layers cost no backward."""
    recipe = parse_recipe(shipped.ready_recipe(name))
    layers = tuple(f"layer{place}" for place in range(20))
    frozen = tuple(5 * place if stage.frozen else 0 for place, stage in enumerate(recipe.stages))
    flops = {
        side: tuple(Flops(0, side * side, 2 * side * side * (20 - count) // 20, count) for count in {0, *frozen})
        for side in range(8, 641)
    }
    return compile_plan(
        recipe,
        facts(
            annotations=tasks.module(recipe.task.name).ANNOTATIONS,
            train_images=1_268_000,
            val_images=13_000,
            test_images=50_000,
            native_side_px=375,
            classes=tuple(map(str, range(1000))),
            class_images=(1268,) * 1000,
            flops=flops,
            plain_sample_flops=3 * 224 * 224,
            layers=layers,
            frozen_layers=frozen,
        ),
    )


@pytest.mark.parametrize("name", shipped.names())
def test_each_can_be_planned_for_a_thousand_classes_and_is_validated_after_every_epoch(name: str) -> None:
    plan = planned(name)
    assert [each.every for each in plan.evaluations if each.name == "val"] == [1]
    low, high = plan.predicted["full_epoch_equivalents"]
    assert 0 < low <= high
    assert not [note for note in plan.notes if note.startswith("warning: train.lr")]


@pytest.mark.parametrize(
    ("name", "stages", "peaks", "unmixed"),
    [
        ("standard", [(60, 224, 512, 1.0)], [0.2], 6),
        ("progressive", [(25, 56, 4096, 1.0), (25, 112, 1024, 1.0), (25, 224, 256, 1.0)], [0.4, 0.4, 0.1], 7),
        (
            "hybrid",
            [(15, 128, 1024, 0.5), (15, 160, 768, 0.75), (30, 224, 512, 1.0), (20, 224, 512, 1.0)],
            [0.4, 0.28, 0.2, 0.1],
            20,
        ),
    ],
)
def test_those_for_imagenet_have_the_constants_of_the_reference_project(
    name: str, stages: list[tuple[int, int, int, float]], peaks: list[float], unmixed: int
) -> None:
    plan = planned(f"imagenet-{name}")
    assert [(each.epochs, each.side_px, each.batch_size, each.data_share) for each in plan.stages] == stages
    assert [plan.peak_lr * each.lr_scale for each in plan.stages] == pytest.approx(peaks)
    augment, train = plan.recipe.augment, plan.recipe.train
    assert (augment.mixup_alpha, augment.cutmix_alpha, train.label_smoothing, train.weight_decay) == (0.2, 1, 0.1, 1e-4)
    mixed = [plan.mix_rule(plan.at(epoch)) is not None for epoch in range(plan.epochs)]
    assert mixed == [True] * (plan.epochs - unmixed) + [False] * unmixed


def test_a_curriculum_differs_from_plain_training_by_its_stages_alone() -> None:
    """So that what `fewer compare` finds between them is what stages do."""
    for size in ("cifar", "photos"):
        plain, staged = (shipped.ready_recipe(f"{size}-{name}") for name in ("standard", "progressive"))
        assert sum(stage["epochs"] for stage in staged.pop("stages")) == plain["train"].pop("epochs")
        plain["train"].pop("side_px")
        assert plain == staged


def test_an_unknown_one_is_answered_with_the_nearest() -> None:
    with pytest.raises(KeyError, match='did you mean "photos-finetune"'):
        shipped.text("foto-finetune")


def test_values_are_fitted_into_the_text_and_comments_stay(tmp_path: Path) -> None:
    path = 'C:\\photos "new"'
    text = shipped.fitted(
        TEXT,
        {
            ("data", "source"): path,
            ("train", "epochs"): 12,
            ("train", "lr"): 0.5,
            ("augment", "crop_scale"): [0.5, 1.0],
            ("data", "normalize"): {"mean": [0.5, 0.5, 0.5], "std": [0.1, 0.1, 0.1]},
            ("out", "plots"): False,
        },
    )
    assert tomllib.loads(text) == {
        "data": {"source": path, "normalize": {"mean": [0.5] * 3, "std": [0.1] * 3}},
        "train": {"epochs": 12, "lr": 0.5},
        "augment": {"crop_scale": [0.5, 1.0]},
        "out": {"plots": False},
    }
    for comment in ("# Header.", "# where from", "epochs = 12     # few", "# lr = 0.1"):
        assert comment in text
