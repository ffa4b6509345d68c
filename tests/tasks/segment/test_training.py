"""Segmentation in the loop: ranks, resuming and selection are those of every task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from annotated import dataset, mask
from fewer.core.drawing.palette import VOID
from fewer.core.errors import RecipeError
from fewer.core.types import Request
from fewer.plan.plan import Plan
from fewer.session.build import Session
from fewer.testing.harness import interrupted, one_thread, plan_of, session_of, trained, weights
from fewer.testing.ranks import on_ranks
from fewer.training.loop import Row, train
from masks import random_ids
from zoo import encoded

SIZES = [(30, 44), (32, 40), (21, 44), (30, 30), (16, 44), (30, 43), (28, 44)]
COLOURS = np.array([[220, 40, 40], [40, 220, 40], [40, 40, 220]], np.uint8)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def written(root: Path, void: Sequence[int]) -> str:
    """Pictures of different sizes, each with another number of valid pixels; those in `void` have none."""
    files: dict[str, bytes] = {"classes.txt": b"red\ngreen\nblue"}
    for number, ids in enumerate(random_ids(0, [*SIZES, *SIZES])):
        own = torch.full_like(ids, VOID) if number in void else ids
        shown = COLOURS[ids.clamp(max=2).numpy()]
        files[f"images/{number:02}.png"], files[f"masks/{number:02}.png"] = encoded(Image.fromarray(shown)), mask(own)
    return f"masks:{dataset(root, files)}"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A recipe in fp64; one of the pictures is all void."""
    return {
        "data": {"source": written(tmp_path_factory.mktemp("masks"), [3]), "val": "none", "test": "none"},
        "task": {"name": "segment"},
        "model": {"name": "lraspp_mobilenet_v2"},
        "train": {"batch_size": 7, "lr": 0.001, "precision": "fp64"},
        "stages": [{"epochs": 2, "side_px": 32}],
    }


def _seen(
    comm: Any, content: dict[str, Any], plan: Plan | None = None
) -> tuple[list[float], dict[str, float], list[Any]]:
    """Each step's loss, and the last model's metrics and confusion matrix on the training images."""
    losses: list[float] = []

    def look(session: Session, row: Row) -> None:
        losses.append(-1.0 if row.loss is None else row.loss)

    session = trained(content, comm, look, plan)
    run = session.run
    mine = session.splits.train.ids_M[run.comm.rank :: run.comm.world_size]
    batches = session.train_data.batches([Request.evaluation(32, 2, mine)])
    found = session.task.evaluate(run.evaluated_model(), batches, run.comm)
    return losses, dict(found.scalars), found.tables["confusion"]


def test_two_ranks_train_and_evaluate_as_one(content: dict[str, Any]) -> None:
    """In fp64, with BatchNorm over both: losses are means over the valid pixels of all ranks, however these lie.

    The first step agrees to 1e-14. Further ones amplify the difference, at a learning rate of 0.05 by a factor of 20 to
    500 each: with a few values a channel, BatchNorm divides by deviations that are nearly nothing.
    """
    alone = _seen(None, content)
    assert min(alone[0]) > 0
    for theirs in on_ranks(2, _seen, content, plan_of(content, 2)):
        assert theirs[0] == pytest.approx(alone[0], abs=1e-10)
        assert theirs[1] == pytest.approx(alone[1], abs=1e-10)
        assert theirs[2] == alone[2]


def test_a_run_with_selection_goes_on_bit_for_bit(content: dict[str, Any], tmp_path: Path) -> None:
    recipe = {**content, "select": {"method": "dbpd"}}
    assert weights(interrupted(recipe, [3], folder=str(tmp_path))) == weights(trained(recipe))


def test_masks_are_not_kept_with_features(content: dict[str, Any]) -> None:
    """Images are computed in every epoch, where a classifier's features would be kept."""
    stage = {"epochs": 2, "side_px": 32, "frozen": "all but the head", "strength": 0.0, "frozen_anyway": True}
    recipe = {**content, "stages": [stage]}
    session = session_of(recipe)
    assert not session.plan.stages[0].keeps_features
    (row, *_) = train(session.task, session.train_data, session.run)
    assert row.loss is not None
    with pytest.raises(RecipeError, match=r'keep_features = "yes".*boxes or masks.*leave it out'):
        session_of({**recipe, "stages": [{**stage, "keep_features": "yes"}]})


def test_a_batch_that_is_all_void_moves_nothing_and_ends_nothing(content: dict[str, Any], tmp_path: Path) -> None:
    data = {**content["data"], "source": written(tmp_path, range(14))}
    train_ = {**content["train"], "weight_decay": 0.0, "clip_norm": 1.0}
    session = session_of({**content, "data": data, "train": train_})
    before = {name: value.clone() for name, value in session.run.workers[0].model.named_parameters()}
    rows = list(train(session.task, session.train_data, session.run))
    assert [row.loss for row in rows] == [None] * 4
    assert [row.kept for row in rows] == [7] * 4
    for name, value in session.run.workers[0].model.named_parameters():
        assert torch.equal(value, before[name]), name


def test_mixup_is_refused_with_what_takes_its_place(content: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"takes none; leave mixup_alpha out, or take augment.mosaic"):
        session_of({**content, "augment": {"mixup_alpha": 0.2}})
