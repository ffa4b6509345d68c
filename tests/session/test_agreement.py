"""Ranks that were started with another recipe, other data or other code are refused before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from fewer.core.errors import DataError, FewerError, RecipeError, ResourceError
from fewer.recipe.parse import parse_recipe
from fewer.session import agreement
from fewer.session.build import make_plan, open_data
from fewer.testing.harness import one_thread, session_of
from fewer.testing.ranks import on_ranks

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "93%", "val": "none", "cache": "no"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"batch_size": 24, "lr": 0.05},
    "stages": [{"epochs": 2, "side_px": 16}],
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def _refused(comm: Any, others: dict[str, Any], what: str) -> tuple[str, str]:
    """What a group says whose last rank differs."""
    is_last = comm.rank == comm.world_size - 1
    recipe = parse_recipe({**CONTENT, **(others if is_last else {})})
    splits = open_data(recipe)
    if is_last and what == "data":
        type(splits).fingerprint = property(lambda _: "f" * 64)  # type: ignore[assignment]  # in this process only
    if is_last and what == "code":
        agreement._code = lambda: "fewer 0.0.1"  # type: ignore[assignment]
    try:
        agreement.refuse_other_ranks(comm, make_plan(recipe, splits, comm.world_size), splits)
    except FewerError as error:
        return type(error).__name__, str(error)
    return "", str(comm.take_bytes_sent())


@pytest.mark.parametrize(
    ("others", "what", "kind", "said"),
    [
        ({"train": {"batch_size": 24, "lr": 0.1}}, "", RecipeError,
         "rank 2 differs from rank 0 in its recipe: train.lr = 0.1 there, 0.05 on rank 0; start all with the same"),
        ({}, "data", DataError, "rank 2 differs from rank 0 in its data (fingerprint ffffffffffff there, "),
        ({}, "code", ResourceError, "rank 2 differs from rank 0 in its code (fewer 0.0.1 there, fewer "),
        ({"out": {"plots": False}}, "", None, "0"),
    ],
)  # fmt: skip
def test_a_rank_that_differs_is_named_on_all_ranks(
    others: dict[str, Any], what: str, kind: type[FewerError] | None, said: str
) -> None:
    for name, text in on_ranks(3, _refused, others, what):
        assert name == (kind.__name__ if kind else "")
        assert text.startswith(said)


def _begun(comm: Any) -> str:
    session = session_of(CONTENT, comm)
    if comm.rank == 1:
        with torch.no_grad():
            next(session.run.workers[0].model.parameters()).mul_(1.5)
    try:
        agreement.refuse_other_starts(session.run)
    except ResourceError as error:
        return str(error)
    return ""


def test_first_weights_that_differ_are_found() -> None:
    for text in on_ranks(2, _begun):
        assert text.startswith("worker 1 begins with other weights than worker 0")
