"""Compiled forwards: at most two graphs a stage, the same run when looked at or resumed, and a failure that is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.utils import counters

from fewer.core.errors import ResourceError
from fewer.core.ramp import Ramp
from fewer.core.types import Stage
from fewer.recipe.parse import parse_recipe
from fewer.session import build
from fewer.session.build import Session
from fewer.session.fit import fit, resume
from fewer.testing.harness import interrupted, looked_at, one_thread, session_of, trained, weights
from fewer.training.compile import Compiler

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "93%", "val": "none"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"lr": 0.05, "compile": "yes", "precision": "fp32"},
    "select": {"method": "dbpd", "score": "stale", "threshold": 0.11, "revision": "1ep"},
    "stages": [{"epochs": 2, "side_px": 16, "batch_size": 40}, {"epochs": 2, "side_px": 20, "batch_size": 36}],
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def with_backend(backend: str | Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "Compiler", lambda *arguments: Compiler(*arguments, backend=backend))


def failing(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
    raise RuntimeError("no compiler here\nand more")


class Counting:
    """A backend that compiles nothing and counts graphs and calls by batch size."""

    def __init__(self) -> None:
        self.graphs: list[tuple[int, int]] = []  # batch size and side of each graph
        self.calls: list[int] = []

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
        image = next(each for each in inputs if each.dim() == 4 and each.shape[1] == 3 and each.shape[2] >= 16)
        self.graphs.append((len(image), image.shape[-1]))

        def call(*arguments: torch.Tensor) -> Any:
            self.calls.append(len(image))
            return graph.forward(*arguments)

        return call


@pytest.mark.parametrize("score", ["stale", "fresh"])
def test_at_most_two_sizes_a_stage_are_compiled_and_all_else_is_not(
    score: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Staged and selected: sizes of the rest vary from epoch to epoch, and scoring has sizes of its own."""
    counting = Counting()
    with_backend(counting, monkeypatch)
    content = {**CONTENT, "select": {**CONTENT["select"], "score": score}}
    counters.clear()
    kept = []
    session = trained(content, look=lambda session, row: kept.append((row.side_px, row.kept)))
    sides = [side for _, side in counting.graphs]
    assert counters["stats"]["unique_graphs"] == len(counting.graphs)
    assert 0 < sides.count(16) <= 2
    assert 0 < sides.count(20) <= 2
    assert len({size for size in kept if size[1]}) > 4, "other sizes were trained on"
    assert len(counting.calls) < session.run.ledger.total("optimizer_steps")


def test_a_compiled_run_is_the_plain_run_where_the_backend_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With BatchNorm, and a layer that freezes on the way."""
    with_backend("eager", monkeypatch)
    model = {"name": "cnn", "width": 0.1, "whiten": True, "whiten_bias_epochs": 1}
    compiled = {**CONTENT, "model": model, "stages": [{"epochs": 2, "side_px": 16, "batch_size": 64}]}
    plain = {**compiled, "train": {**CONTENT["train"], "compile": "no"}}
    assert weights(trained(compiled)) == weights(trained(plain))


def test_a_run_compiled_by_inductor_resumes_bit_for_bit_and_may_be_looked_at() -> None:
    content = {
        **CONTENT,
        "data": {**CONTENT["data"], "test": "95%"},
        "train": {**CONTENT["train"], "compile": "require"},
        "select": {"method": "full"},
        "stages": [{"epochs": 1, "side_px": 16, "batch_size": 45}],
    }
    session = trained(content, look=looked_at)
    assert compiled(session)["sizes"] == [45]
    assert session.run.ledger.totals()["seconds"]["compile"] > 0
    assert interrupted(content, [1]).run.digest() == session.run.digest()


def compiled(session: Session) -> dict[str, Any]:
    """The compiler's part of a run's state."""
    assert session.run.compiler is not None
    return session.run.compiler.state_dict()


def test_which_sizes_are_compiled_survives_a_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    with_backend(Counting(), monkeypatch)
    unstopped = trained(CONTENT)
    assert compiled(unstopped)["sizes"]
    assert compiled(interrupted(CONTENT, [5, 9])) == compiled(unstopped)


def test_a_failing_compiler_is_one_warning_and_the_plain_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_backend(failing, monkeypatch)
    content = {**CONTENT, "data": {"source": "digits", "test": "50%", "val": "85%", "cache": "no"}}
    plain = {**content, "train": {**content["train"], "compile": "no"}}
    result = fit(parse_recipe(content), tmp_path / "run")
    assert "no compiler here" in result["amendments"]["train.compile"]["reason"]
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text().splitlines()]
    told = [row for row in rows if row["kind"] == "amendment"]
    assert [(row["key"], row["old"], row["new"]) for row in told] == [("train.compile", "yes", "no")]
    assert (tmp_path / "run" / "log.txt").read_text().count("no compiler here") == 1
    assert fit(parse_recipe(plain), tmp_path / "plain")["metrics"] == result["metrics"]
    longer = resume(tmp_path / "run", ["train.epochs=5"])
    assert longer["amendments"] == result["amendments"], "a resumed run goes on as it was"


def test_a_backward_that_cannot_be_compiled_is_one_warning_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch compiles it with the forward, within what is caught and booked as compilation."""
    calls: list[str] = []

    def forward(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
        calls.append("forward")
        return make_boxed_func(graph.forward)

    def backward(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
        calls.append("backward")
        raise RuntimeError("no backward here")

    with_backend(aot_autograd(fw_compiler=forward, bw_compiler=backward), monkeypatch)
    plain = {**CONTENT, "train": {**CONTENT["train"], "compile": "no"}}
    session = trained(CONTENT)
    assert calls == ["forward", "backward"]
    assert "no backward here" in session.run.amendments["train.compile"]["reason"]
    assert session.run.ledger.totals()["seconds"]["compile"] > 0
    assert weights(session) == weights(trained(plain))


def test_a_required_compiler_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with_backend(failing, monkeypatch)
    with pytest.raises(ResourceError, match=r'"require".*no compiler here.*train.compile = "yes"') as caught:
        trained({**CONTENT, "train": {**CONTENT["train"], "compile": "require"}})
    assert caught.value.exit_code == 6


def test_a_model_that_fails_by_itself_is_not_blamed_on_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own error comes out."""
    with_backend(Counting(), monkeypatch)
    session = session_of(CONTENT)

    class Broken(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            raise ZeroDivisionError("mine")

    assert session.run.compiler is not None
    call = session.run.compiler.forward(Broken(), session.plan.stages[0], [4])
    with pytest.raises(ZeroDivisionError, match="mine"):
        call(torch.zeros(4, 3, 16, 16))


def test_every_side_of_a_ramp_is_compiled_and_its_seconds_are_booked() -> None:
    """A graph a side, each made once, within the phase of compilation."""
    counting, begun = Counting(), list[int]()

    @contextmanager
    def phase() -> Iterator[None]:
        begun.append(1)
        yield

    stage = Stage(0, 0, 1, 24, 4, ramp=Ramp((16, 24), 0.65, 0.1, 0))
    compiler = Compiler(True, False, phase, pytest.fail, backend=counting)
    forward = compiler.forward(torch.nn.Conv2d(3, 2, 3), stage, [4])
    for side_px in (16, 24, 16, 24):
        assert forward(torch.rand(4, 3, side_px, side_px)).shape[-1] == side_px - 2
    assert (len(begun), sorted(counting.graphs)) == (2, [(4, 16), (4, 24)])
