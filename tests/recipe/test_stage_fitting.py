"""Stages of a ready recipe, fitted to other data."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewer.recipe import stage_fitting

STAGES: list[dict[str, Any]] = [
    {"epochs": 15, "side_px": 128, "batch_size": 1024, "data_share": 0.5},
    {"epochs": 15, "side_px": 160, "batch_size": 768, "data_share": 0.75},
    {"epochs": 50, "side_px": 224, "batch_size": 512},
]


def content(**train: Any) -> dict[str, Any]:
    return {"train": train, "stages": STAGES}


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(1, 300))
def test_epochs_add_up_and_every_stage_keeps_its_share(asked: list[int], total: int) -> None:
    found = stage_fitting.epochs({"stages": [{"epochs": each} for each in asked]}, total)
    each = [found["stages", str(place), "epochs"] for place in range(len(asked))]
    assert sum(each) == max(total, len(asked))
    assert min(each) >= 1
    if total >= 10 * sum(asked):
        assert each == [pytest.approx(share * total / sum(asked), abs=1) for share in asked]


def test_the_same_number_of_epochs_changes_nothing() -> None:
    assert list(stage_fitting.epochs(content(), 80).values()) == [15, 15, 50]
    assert stage_fitting.epochs({"train": {"epochs": 3}}, 7) == {("train", "epochs"): 7}


@pytest.mark.parametrize(
    ("largest_px", "sides_px"), [(224, [128, 160, 224]), (128, [80, 96, 128]), (32, [18, 22, 32]), (8, [8, 8, 8])]
)
def test_sides_keep_their_ratio_in_few_steps(largest_px: int, sides_px: list[int]) -> None:
    assert list(stage_fitting.sides(content(), largest_px).values()) == sides_px
    assert stage_fitting.sides({"train": {}}, largest_px) == {("train", "side_px"): largest_px}


def test_enough_images_keep_all_batches() -> None:
    assert stage_fitting.batch_sizes(content(lr=0.4), 1_281_167) == {}


def test_batches_become_smaller_alike_and_the_rate_with_them() -> None:
    """512 images of half of 16,384 are sixteen steps: half the first stage's batch."""
    found = stage_fitting.batch_sizes(content(lr=0.4), 16_384)
    sizes = {("stages", str(place), "batch_size"): size for place, size in enumerate((512, 384, 256))}
    assert found == {**sizes, ("train", "lr"): 0.2}
    assert ("train", "lr") not in stage_fitting.batch_sizes(content(lr=0.001, optimizer="adamw"), 16_384)
    assert ("train", "lr") not in stage_fitting.batch_sizes(content(lr="auto"), 16_384)


def test_where_the_rate_follows_the_batch_each_stage_takes_what_it_can() -> None:
    found = stage_fitting.batch_sizes(content(lr=0.1, lr_scaling="linear"), 16_384)
    assert found == {("stages", "0", "batch_size"): 512}


def test_one_batch_for_all_stages_fits_the_smallest_share() -> None:
    stages = [{"epochs": 1, "data_share": 0.5}, {"epochs": 1}]
    found = stage_fitting.batch_sizes({"train": {"batch_size": 1024, "lr": 1.0}, "stages": stages}, 8000)
    assert found == {("train", "batch_size"): 128, ("train", "lr"): 0.12}  # 4,000 / 16 = 250


@pytest.mark.parametrize(("images", "batch_size"), [(10_000, 32), (100, 25), (9, 2), (3, 2)])
def test_small_data_keeps_batches_of_up_to_32(images: int, batch_size: int) -> None:
    found = stage_fitting.batch_sizes({"train": {"batch_size": 32, "optimizer": "adamw"}}, images)
    assert found.get(("train", "batch_size"), 32) == batch_size
