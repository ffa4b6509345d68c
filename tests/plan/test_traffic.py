"""What a step sends between processes, as the plan says it, and who can share batch statistics."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.cli.plan_view import show_plan
from fewer.plan.checks import mismatches
from fewer.plan.compile import compile_plan
from fewer.plan.stages import stages_of
from fewer.plan.traffic import round_traffic, shares_statistics, step_traffic
from planning import facts, recipe


@pytest.mark.parametrize(
    ("sync", "known", "shared"),
    [
        ({}, {"processes": 2, "batchnorm_channels": (4, 8)}, True),
        ({"batchnorm": "sync"}, {"processes": 2, "batchnorm_channels": (4, 8)}, True),
        ({"batchnorm": "local"}, {"processes": 2, "batchnorm_channels": (4, 8)}, False),
        ({}, {"processes": 2}, False),
        ({}, {"batchnorm_channels": (4, 8)}, False),
        ({"workers": 4}, {"processes": 2, "batchnorm_channels": (4, 8)}, False),
    ],
)
def test_statistics_are_shared_by_processes_that_have_any(
    sync: dict[str, Any], known: dict[str, Any], shared: bool
) -> None:
    assert shares_statistics(recipe(sync=sync), facts(**known)) is shared


def test_simulated_workers_cannot_share_statistics() -> None:
    asked = recipe(sync={"batchnorm": "sync", "workers": 4})
    (problem,) = mismatches(asked, facts(processes=2, batchnorm_channels=(4,)), stages_of(asked, 32))
    assert 'sync.batchnorm = "sync": sync.workers = 4 on 2 processes are simulated one after another' in problem
    assert 'set sync.batchnorm = "local"' in problem


def test_a_plan_says_what_statistics_cost(capsys: pytest.CaptureFixture[str]) -> None:
    known = facts(processes=2, batchnorm_channels=(100, 400))
    traffic = {each.what: each for each in step_traffic(recipe(), known)}["batch statistics"]
    assert (traffic.bytes_sent, traffic.exchanges) == ((201 + 200 + 801 + 800) * 8, 4)
    show_plan(compile_plan(recipe(), known), None, everything=False)
    text = capsys.readouterr().out
    assert "each process sends in a step: " in text
    assert "batch statistics 16.0 kB in 4 exchanges" in text
    assert not list(step_traffic(recipe(), facts(batchnorm_channels=(100,))))


@pytest.mark.parametrize(
    ("sync", "said"),
    [
        ({"method": "local_sgd", "workers": 4}, "each of 4 workers sends 600 B in a sync, every 16 steps: "),
        ({"method": "diloco", "workers": 4, "payload": "int4", "every_steps": 64}, "sends 80 B in a sync, every 64"),
        ({"method": "slowmo", "workers": 2, "payload": "topk", "topk_share": 0.5}, "sends 400 B in a sync, every 16"),
        ({"method": "local_sgd", "workers": 4, "schedule": "qsr"}, "every 16 steps at first\n"),
        ({"method": "post_local", "workers": 4}, "every 16 steps at first\n"),
    ],
)
def test_a_plan_says_what_syncs_of_local_methods_cost(
    sync: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = compile_plan(recipe(sync=sync), facts(parameters=100))
    show_plan(plan, None, everything=False)
    text = capsys.readouterr().out
    assert said in text
    rounds = round_traffic(plan.recipe, plan.facts, 33)
    assert rounds is not None
    assert rounds.syncs == (3 if rounds.every_steps == 16 and "first" not in said else 1 if "64" in said else None)
    assert round_traffic(recipe(sync={**sync, "workers": 1}), plan.facts, 33) is None
    assert round_traffic(recipe(), plan.facts, 33) is None
