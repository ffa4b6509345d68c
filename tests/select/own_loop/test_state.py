"""The saved state of a chooser: resumed anywhere, a snapshot, and refused where it is of something else."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch

from fewer.core.errors import CheckpointError
from fewer.select.own_loop import Chooser
from fewer.training.run import state_digest
from own_loops import SETTINGS, build, epochs_of, look, pickled, step


@pytest.mark.parametrize("content", SETTINGS, ids=str)
def test_resumed_is_never_stopped(content: dict[str, Any]) -> None:
    """Killed at an epoch's border and in the middle of one; states go through a file without pickle."""
    unstopped = build(content)
    expected = epochs_of(unstopped)
    chooser, told = build(content), []
    told += epochs_of(chooser, last=2)
    chooser = resumed(chooser, content)
    assert chooser.epoch == 2
    look(chooser, 2)
    chooser.begin(2)
    ids = list(chooser.sampler)
    for batch in torch.tensor(ids).split(8)[:2]:
        step(chooser, batch, 2)
    chooser = resumed(chooser, content)
    assert chooser.epoch == 2
    assert not len(chooser.ids_to_score(2)), "what was to be scored has been"
    chooser.begin(2)
    rest = list(chooser.sampler)
    assert ids[16:] == rest
    assert len(chooser.sampler) == len(rest)
    for batch in torch.tensor(rest).split(8):
        step(chooser, batch, 2)
    told += [ids, *epochs_of(chooser, first=3)]
    assert told == expected
    assert state_digest(chooser.state_dict()) == state_digest(unstopped.state_dict())


def resumed(chooser: Chooser, content: dict[str, Any]) -> Chooser:
    state = torch.load(io.BytesIO(pickled(chooser.state_dict())), weights_only=True)
    fresh = build(content)
    fresh.load_state_dict(state)
    return fresh


def test_a_state_is_a_snapshot() -> None:
    chooser = build(SETTINGS[0])
    epochs_of(chooser, last=2)
    state = chooser.state_dict()
    digest = state_digest(state)
    epochs_of(chooser, first=2)
    assert state_digest(state) == digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 60}, "samples 60, here 61"),
        ({"method": "ies"}, "method ies, here dbpd"),
        ({"labels": "0"}, "listed in the same order"),
        ({"seed": 5}, "seed 5, here 4"),
        ({"table": {}}, '"trained.loss" of its table is missing'),
        ({"order": {"ids": torch.tensor([0], dtype=torch.int32)}}, '"copy" of its order is missing'),
        (
            {
                "order": {
                    "ids": torch.tensor([61], dtype=torch.int32),
                    "copy": torch.tensor([0], dtype=torch.int16),
                    "weight": torch.tensor([1.0], dtype=torch.float64),
                }
            },
            "order names samples that do not exist",
        ),
        ({"observed": None}, "observed missing"),
        ({"selector": {}}, r"cannot take its state over \(KeyError: 'selector'\); build the chooser with the keys"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_states_of_something_else_are_refused(change: dict[str, Any], message: str) -> None:
    chooser = build(SETTINGS[0])
    epochs_of(chooser, last=1)
    state = chooser.state_dict()
    with pytest.raises(CheckpointError, match=message):
        build(SETTINGS[0]).load_state_dict({**state, **change})
    build(SETTINGS[0]).load_state_dict(state)
