"""How workers share batches and agree, in words."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.plan.compile import compile_plan
from planning import facts, recipe


def test_a_local_method_is_told_and_one_worker_that_agrees_with_nobody() -> None:
    sync = {"method": "local_sgd", "every_steps": 8, "payload": "int8"}
    (note,) = [each for each in compile_plan(recipe(sync={**sync, "workers": 4}), facts()).notes if "shared" in each]
    assert note.endswith("each; they agree by local_sgd, the first time after 8 steps, and send int8")
    (note,) = [each for each in compile_plan(recipe(sync=sync), facts()).notes if "sync.method" in each]
    assert note.startswith('sync.method = "local_sgd" has one worker, which agrees with nobody; sync.workers = 4')


@pytest.mark.parametrize(
    ("sync", "said"),
    [
        ({"method": "powersgd"}, "sync.start_step = 100: the run has at most 16 steps, and all exchange gradients as"),
        ({"method": "powersgd", "start_step": 15}, ""),
        ({"method": "powersgd", "start_step": 16}, '"powersgd" saves nothing; begin earlier, e.g. sync.start_step=0'),
        ({"method": "powersgd", "workers": 1}, ""),
        ({"method": "local_sgd", "every_steps": 15}, ""),
        (
            {"method": "diloco", "every_steps": 64},
            "16 steps, so workers agree only at its end; use sync.every_steps=4 ",
        ),
        ({"method": "post_local", "every_steps": 7}, ""),
        (
            {"method": "post_local", "every_steps": 8},
            "at most 16 steps, 8 of them behind sync.switch, so workers agree",
        ),
        ({"method": "post_local", "switch": "100%"}, "sync.switch = 100%: the run has at most 16 steps, and all"),
        ({"method": "post_local", "every_steps": 8, "switch_lr": 0.5}, ""),
        ({"method": "every_step"}, ""),
    ],
)
def test_a_run_too_short_for_its_sync_method_is_warned(sync: dict[str, Any], said: str) -> None:
    asked = recipe(sync={"workers": 4, **sync}, train={"epochs": 2, "batch_size": 125})
    found = [note for note in compile_plan(asked, facts()).notes if note.startswith("warning: sync.")]
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_a_clock_that_decides_leaves_the_steps_open() -> None:
    asked = recipe(sync={"workers": 4, "method": "powersgd"}, train={"batch_size": 125, "budget": "5min"})
    assert not any("start_step" in note for note in compile_plan(asked, facts()).notes)
