"""How workers share batches and agree, in words."""

from __future__ import annotations

from fewer.plan.compile import compile_plan
from planning import facts, recipe


def test_a_local_method_is_told_and_one_worker_that_agrees_with_nobody() -> None:
    sync = {"method": "local_sgd", "every_steps": 8, "payload": "int8"}
    (note,) = [each for each in compile_plan(recipe(sync={**sync, "workers": 4}), facts()).notes if "shared" in each]
    assert note.endswith("each; they agree by local_sgd, the first time after 8 steps, and send int8")
    (note,) = [each for each in compile_plan(recipe(sync=sync), facts()).notes if "sync.method" in each]
    assert note.startswith('sync.method = "local_sgd" has one worker, which agrees with nobody; sync.workers = 4')
