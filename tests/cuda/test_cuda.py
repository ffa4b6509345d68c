"""What only a GPU can show: parity with the CPU, fp16 with skipped steps, compiled sizes, two ranks over NCCL.

# untested: needs a GPU
"""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from fewer.plan import gather
from fewer.recipe.parse import parse_recipe
from fewer.session.batch_size import _runs
from fewer.session.build import make_plan, open_data
from fewer.session.lr_finder import find
from fewer.testing.harness import interrupted, session_of, trained
from fewer.training.loop import Row, train

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "80%", "val": "none"},
    "model": {"name": "cnn", "width": 0.25},
    "augment": {"crop_padding_px": 2, "flip": "random"},
    "train": {"batch_size": 60, "lr": 0.02, "precision": "fp32", "deterministic": True},
    "stages": [{"epochs": 1, "side_px": 16}, {"epochs": 1, "side_px": 24, "batch_size": 40}],
}


def with_train(**keys: Any) -> dict[str, Any]:
    return {**CONTENT, "train": {**CONTENT["train"], **keys}}


def losses(content: dict[str, Any]) -> list[float]:
    found: list[float] = []
    trained(content, look=lambda session, row: found.append(row.loss or 0.0))
    return found


@pytest.mark.parametrize("keys", [{}, {"optimizer": "adamw", "lr": 0.001}])
def test_a_gpu_trains_as_the_cpu_does(keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    on_gpu = losses(with_train(**keys))
    monkeypatch.setattr(gather, "device_kind", lambda: "cpu")
    for step, (ours, theirs) in enumerate(zip(on_gpu, losses(with_train(**keys)), strict=True)):
        assert ours == pytest.approx(theirs, rel=1e-3 * 1.25**step), f"batch {step}"


def test_fp16_skips_steps_that_overflow_and_resumes_bit_for_bit() -> None:
    content = with_train(precision="fp16")
    session = session_of(content)
    assert session.run.workers[0].scaler.is_enabled()
    session.run.workers[0].scaler.load_state_dict({**session.run.workers[0].scaler.state_dict(), "scale": 2.0**30})
    rows: list[Row] = list(train(session.task, session.train_data, session.run))
    skipped = sum(not row.steps for row in rows)
    assert 0 < skipped < len(rows)
    assert session.run.ledger.total("skipped_steps") == skipped
    assert interrupted(content, [3]).run.digest() == trained(content).run.digest()


def test_at_most_two_sizes_a_stage_are_compiled() -> None:
    counters.clear()
    select = {"method": "dbpd", "score": "stale", "threshold": 0.11}
    session = trained({**with_train(compile="require", precision="fp16"), "select": select})
    assert 0 < counters["stats"]["unique_graphs"] <= 2 * len(CONTENT["stages"])
    assert session.run.ledger.totals()["seconds"]["compile"] > 0


def test_two_gpus_train_as_one_does(tmp_path: Path) -> None:
    """Through the command line, which starts two ranks over NCCL; without BatchNorm, whose statistics are local."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[data]\nsource = "digits"\ntest = "80%"\n[model]\nname = "lenet5"\nwidth = 0.25\n'
        '[train]\nepochs = 2\nbatch_size = 60\nlr = 0.02\nprecision = "fp32"\ndeterministic = true\n'
    )
    results = []
    for devices in ("1", "2"):
        out = tmp_path / f"on{devices}"
        command = [sys.executable, "-m", "fewer", "train", str(recipe), "--devices", devices, "--out", str(out)]
        subprocess.run(command, check=True, timeout=600)
        results.append(json.loads((out / "result.json").read_text()))
    one, two = results
    assert two["steps"] == one["steps"]
    assert two["metrics"]["test/loss"] == pytest.approx(one["metrics"]["test/loss"], rel=2e-2)


def test_a_finder_in_float16_drops_skipped_steps_and_leaves_the_run_alone() -> None:
    session = session_of(with_train(precision="fp16"))
    before = session.run.digest()
    found = find(session, session.plan.stages[0], steps=60, repeats=2)
    assert session.run.digest() == before
    assert found.low <= found.high
    for sweep in found.sweeps:
        assert len(sweep.rates) <= sweep.steps - sweep.skipped
        assert all(first < second for first, second in pairwise(sweep.rates))


def test_a_batch_size_that_is_left_open_is_tried_on_the_gpu() -> None:
    recipe = parse_recipe(with_train(batch_size="auto"))
    plan = make_plan(recipe, open_data(recipe))
    assert plan.recipe.train.batch_size == 16, "what 16 steps of some 360 images allow"
    assert not _runs(plan, 24, 64, free=1.0)
    assert _runs(plan, 24, 64, free=float(torch.cuda.mem_get_info()[0]))
