"""Deterministic mode: on for a run, off behind it, and a readable refusal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from fewer.core.errors import RecipeError
from fewer.machine.determinism import deterministic
from fewer.recipe.parse import parse_recipe
from fewer.session.fit import fit
from fewer.session.progress import Silent
from fewer.tasks.classify.task import Classify
from fewer.testing.harness import one_thread

RECIPE = {
    "data": {"source": "digits", "test": "50%", "val": "85%", "cache": "no"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"epochs": 1, "batch_size": 60, "deterministic": True},
}


def switches() -> tuple[Any, ...]:
    cudnn = torch.backends.cudnn
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        cudnn.deterministic,
        cudnn.benchmark,
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )


@pytest.mark.parametrize("error", [None, KeyError])
def test_the_process_is_as_it_was_behind_it(error: type[Exception] | None) -> None:
    torch.backends.cudnn.benchmark = True
    before = switches()
    try:
        try:
            with deterministic(True):
                assert switches() == (True, False, True, False, ":4096:8")
                if error:
                    raise error
        except KeyError:
            pass
        assert switches() == before
        with deterministic(False):
            assert switches() == before
    finally:
        torch.backends.cudnn.benchmark = False


class Watching(Silent):
    def __init__(self) -> None:
        self.seen: set[bool] = set()

    def row(self, row: Any, session: Any) -> None:
        self.seen.add(torch.are_deterministic_algorithms_enabled())


def test_a_run_is_deterministic_and_its_caller_is_not(tmp_path: Path) -> None:
    watching = Watching()
    with one_thread():
        fit(parse_recipe(RECIPE), tmp_path / "run", display=watching)
    assert watching.seen == {True}
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("smallest", [0, 10])
def test_an_operation_without_a_deterministic_form_is_named(
    smallest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the dry run of planning, before there is a run folder; in training, where only real batches need it."""
    outcome = Classify.outcome

    def with_put(task: Classify, model: Any, batch: Any, *arguments: Any) -> Any:
        if len(batch) >= smallest:
            torch.zeros(4).put_(torch.tensor([0]), torch.ones(1), accumulate=False)  # torch has no such form of it
        return outcome(task, model, batch, *arguments)

    monkeypatch.setattr(Classify, "outcome", with_put)
    # Another batch: facts of a net that another test has planned are known, and no dry run meets the operation.
    recipe = parse_recipe({**RECIPE, "train": {**RECIPE["train"], "batch_size": 40 + smallest}})
    with one_thread(), pytest.raises(RecipeError, match=r"put_.*train\.deterministic = false"):
        fit(recipe, tmp_path / "run")
    status = tmp_path / "run" / "status.json"
    assert status.exists() == (smallest > 0)
    assert smallest == 0 or '"exit_code": 2' in status.read_text()
