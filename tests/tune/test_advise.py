"""`fewer advise`: what it predicts, against what processes send; what it advises; and what a user gets to read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fewer.cli import app
from fewer.core.errors import RecipeError
from fewer.core.sections import section_of
from fewer.plan.traffic import step_traffic
from fewer.recipe.parse import parse_recipe
from fewer.recipe.schema import SyncRecipe
from fewer.session.build import make_plan, open_data
from fewer.sync.comm import SingleProcess
from fewer.sync.methods import SYNC_METHODS
from fewer.sync.network import Network
from fewer.sync.rehearsal import Rehearsal
from fewer.testing.harness import one_thread, trained
from fewer.testing.ranks import on_ranks
from fewer.tune.advice import advice, cheapest
from fewer.tune.advise import Wish, advise

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "93%", "val": "none", "cache": "no"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"batch_size": 24, "lr": 0.05, "precision": "fp32"},
    "stages": [{"epochs": 2, "side_px": 16}, {"epochs": 2, "side_px": 20}],
}
WISH = Wish(local_steps=(2, 8), seconds=0.0)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def _quiet(text: str) -> None:
    return


def _by_ranks(comm: Any) -> tuple[list[int], dict[str, Any]]:
    """What a real rank sends in each step of plain training, and the document of ranks that measure their network."""
    sent: list[int] = []
    trained(CONTENT, comm, lambda session, row: sent.append(session.run.ledger.total("bytes_sent")))
    steps = [after - before for before, after in pairwise(sent)]
    return steps, advise(parse_recipe(CONTENT), WISH, comm, _quiet)


def test_ranks_predict_the_bytes_that_they_send() -> None:
    (steps, document), (others, same) = on_ranks(2, _by_ranks)
    rows = {row["name"]: row for row in document["methods"]}
    assert rows["every_step"]["sent_bytes"] == steps[0] == others[0]
    assert rows["every_step"]["epoch_bytes"] == document["batches"] * steps[0]
    assert document["network"]["measured"]
    assert (document["workers"], document["images_a_worker"], document["stage"]["side_px"]) == (2, 12, 20)
    # All ranks say the same of what is computed.
    assert [row["own_seconds"] for row in document["methods"]] == [row["own_seconds"] for row in same["methods"]]
    for row in document["methods"]:
        assert row["step_seconds"] >= document["compute"]["step"]


@pytest.fixture(scope="module")
def slow() -> dict[str, Any]:
    """Of four machines on a line so slow that exchanges are all."""
    sync = {"method": "powersgd", "start_step": 3}
    recipe = parse_recipe({**CONTENT, "select": {"method": "random", "share": 0.5}, "sync": sync})
    return advise(recipe, Wish(Network(1e4, 0.01), 4, (2, 8), 0.0), SingleProcess(), _quiet)


def test_every_method_of_the_registry_has_its_rows(slow: dict[str, Any]) -> None:
    assert {row["sync"]["method"] for row in slow["methods"]} == set(SYNC_METHODS.names())
    assert list(slow["refused"]) == ["post_local H=8"], "behind its switch the run has 6 steps"


def test_what_is_rehearsed_is_what_the_plan_says(slow: dict[str, Any]) -> None:
    """Gradients; each step also sums a few numbers over all."""
    recipe = parse_recipe(CONTENT)
    facts = make_plan(recipe, open_data(recipe), 4).facts
    for row in slow["methods"]:
        if hasattr(SYNC_METHODS.module(row["sync"]["method"]), "step_traffic"):
            asked = recipe.model_copy(update={"sync": section_of(SyncRecipe, **row["sync"])})
            planned = sum(traffic.bytes_sent for traffic in step_traffic(asked, facts))
            assert 0 < row["later"]["sent_bytes"] - planned < 300, row["name"]


def test_exchanges_take_their_time_on_the_network(slow: dict[str, Any]) -> None:
    for row in slow["methods"]:
        assert row["exchange_seconds"] >= row["waited_seconds"]
        least = row["sent_bytes"] / 1e4
        assert least < row["exchange_seconds"] < least + 6 * 0.01 * row["exchanges"] + 1e-6


def test_rounds_of_local_steps_send_less(slow: dict[str, Any]) -> None:
    rows = {row["name"]: row for row in slow["methods"]}
    assert rows["local_sgd H=2"]["sent_bytes"] > 3 * rows["local_sgd H=8"]["sent_bytes"]
    assert not slow["advised"].startswith("every_step")


def test_methods_that_begin_plainly_show_the_mean_over_the_run(slow: dict[str, Any]) -> None:
    rows = {row["name"]: row for row in slow["methods"]}
    plain, local = rows["every_step"], rows["local_sgd H=2"]
    for name, first in (("powersgd", 3), ("post_local H=2", rows["post_local H=2"]["run_steps"] / 2)):
        row = rows[name]
        assert row["first_steps"] == first
        share = first / row["run_steps"]
        assert 0 < share < 1
        for key in ("sent_bytes", "step_seconds"):
            assert row[key] == pytest.approx(share * plain[key] + (1 - share) * row["later"][key])
        assert row["epoch_seconds"] == pytest.approx(slow["batches"] * row["step_seconds"])
    assert rows["post_local H=2"]["later"]["sent_bytes"] == pytest.approx(local["sent_bytes"])
    assert local["later"]["sent_bytes"] == local["sent_bytes"]
    assert (local["first_steps"], plain["first_steps"]) == (0, 0)


def test_processes_that_run_are_the_workers() -> None:
    comm = Rehearsal(Network(1e6, 0.0), 2)
    with pytest.raises(RecipeError, match="--workers 8: 2 processes were started"):
        advise(parse_recipe(CONTENT), Wish(workers=8), comm, _quiet)


def row(name: str, seconds: float, keeps_equal: bool = True, steps: int = 1) -> dict[str, Any]:
    return {
        "name": name, "sync": {"method": name}, "keeps_equal": keeps_equal, "local_steps": steps,
        "step_seconds": seconds, "waited_seconds": seconds / 2, "sent_bytes": 100 / steps,
    }  # fmt: skip


def test_of_equals_what_changes_training_least_is_advised() -> None:
    rows = [row("plain", 1.02), row("rounded", 1.01), row("local", 1.0, False, 16)]
    assert cheapest(rows)["name"] == "plain"
    rows[0]["step_seconds"] = 1.5
    assert cheapest(rows)["name"] == "rounded"
    rows[1]["step_seconds"] = 1.4
    document = {"methods": rows, "compute": {"step": 0.5}, "workers": 4}
    said = advice(document)
    assert (said["advised"], said["fastest"], said["keys"]) == ("local", "local", ["sync.method=local"])
    assert "16 times less" in said["why"]
    assert "1.5 times as fast" in said["why"]
    assert "16 steps apart" in said["accuracy"]
    assert said["advised_with_equal_workers"] == "rounded"
    assert "1.4 times as long" in said["gentler"]


# --- The command line ------------------------------------------------------------------------------------------------


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["advise", *arguments])
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "digits.toml"
    path.write_text(
        '[data]\nsource = "digits"\nsubset = 90\ncache = "no"\n[model]\nname = "lenet5"\nwidth = 0.1\n'
        "[train]\nepochs = 1\nbatch_size = 30\nlr = 0.1\n"
    )
    return str(path)


def test_the_table_and_the_document(recipe: str) -> None:
    network = ("--bandwidth", "1Mbit", "--latency", "5ms", "--workers", "3", "--seconds", "0")
    text = said(recipe, *network)
    assert "left out: diloco H=4, local_sgd H=4, slowmo H=4: sync.every_steps = 4: the run has at most 3 steps" in text
    assert "left out: powersgd: sync.start_step = 100: the run has at most 3 steps" in text
    assert "3 workers, batches of 30 images of 32 px, 10 a worker, 3 steps an epoch" in text
    assert "network, given: 120 kB/s of payload each way, 5 ms a message" in text
    assert "advice: " in text
    document = json.loads(said(recipe, *network, "--json"))
    assert document["methods"][0]["name"] == "every_step"
    assert all(row["name"] in text for row in document["methods"])


def test_a_longer_run_says_what_its_figures_stand_for(recipe: str) -> None:
    network = ("--bandwidth", "1Mbit", "--workers", "3", "--seconds", "0", "--local-steps", "2,64")
    result = CliRunner().invoke(app, ["advise", recipe, "train.epochs=4", *network])
    assert "--latency is left out: 0.1ms a message, one way, is taken" in result.stderr
    assert "post_local: mean over the run, whose first 6 of 12 steps exchange gradients as they are" in result.stdout
    assert "H=2" in result.stdout
    assert not any("H=64" in line for line in result.stdout.splitlines() if not line.startswith("left out"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "--devices N"),
        (("--bandwidth", "10Mbit"), "--bandwidth needs --workers"),
        (("--bandwidth", "10Mbit", "--workers", "1"), "--workers 1: allowed are 2 or more"),
        (("--latency", "1ms"), "--latency 1ms needs --bandwidth"),
        (("--bandwidth", "10"), "--bandwidth"),
        (("--bandwidth", "10Mbit", "--local-steps", "4,x"), '--local-steps "4,x"'),
    ],
)
def test_what_is_missing_is_said(recipe: str, flags: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        said(recipe, *flags)
