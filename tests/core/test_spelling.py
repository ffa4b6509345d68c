"""Words that people bring from elsewhere, answered with ours."""

from __future__ import annotations

import pytest

from fewer.core.errors import RecipeError
from fewer.core.spelling import closest
from fewer.optim import OPTIMIZERS, SCHEDULES
from fewer.recipe.parse import parse_recipe
from fewer.recipe.schema import TrainRecipe
from fewer.tasks.classify.loss import LOSSES

KEYS = list(TrainRecipe.model_fields)


@pytest.mark.parametrize(
    ("known", "ours", "theirs"),
    [
        (OPTIMIZERS.names(), "adamw", ("adam", "Adam", "AdamW", "adamw_torch", "rmsprop")),
        (OPTIMIZERS.names(), "sgd", ("SGD", "sgd_momentum")),
        (SCHEDULES.names(), "cosine", ("cosine_annealing", "CosineAnnealingLR")),
        (SCHEDULES.names(), "one_cycle", ("onecycle", "OneCycleLR")),
        (SCHEDULES.names(), "step", ("StepLR", "MultiStepLR")),
        (SCHEDULES.names(), None, ("poly", "3", "", "_")),
        (LOSSES.names(), "cross_entropy", ("ce", "CE", "CrossEntropyLoss", "cross-entropy")),
        (KEYS, "lr", ("learning_rate", "lr0")),
        (KEYS, "epochs", ("num_epochs", "epoch", "epochz")),
        (KEYS, "batch_size", ("bs", "batch")),
        (KEYS, "weight_decay", ("wd", "weightdecay")),
        (KEYS, "side_px", ("imgsz", "image_size")),
        (["mean", "std", "warmup", "epochs"], "warmup", ("warmup_epochs",)),
        (["top1", "macro_f1"], None, ("qq", "t")),
    ],
)
def test_the_word_that_is_meant(known: list[str], ours: str | None, theirs: tuple[str, ...]) -> None:
    assert {name: closest(name, known) for name in theirs} == dict.fromkeys(theirs, ours)


def test_a_key_without_its_section_is_told_where_it_belongs() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}}, ["epochs=3", "lr=0.1", "slect=2"])
    for whole in ("train.epochs", "train.lr", "select"):
        assert f'did you mean "{whole}"?' in str(caught.value)
