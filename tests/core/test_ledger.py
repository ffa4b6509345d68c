"""The ledger against what is counted from outside: files opened, seconds that add up, bytes sent."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from drawings import drawings
from fewer.core.ledger import PHASES, TRAINING, Ledger, peak_memory_bytes
from fewer.recipe.parse import parse_recipe
from fewer.runs import checkpoint
from fewer.session import fit_loop
from fewer.session.build import make_plan, open_data, open_session
from fewer.session.fit import fit
from fewer.sync.comm import SingleProcess
from fewer.testing.harness import one_thread
from fewer.testing.ranks import on_ranks
from fewer.training.loop import train
from photos import write_photos

_lists: list[tuple[str, list[str]]] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _lists and isinstance(arguments[0], (str, Path)):
        for folder, paths in _lists:
            if str(arguments[0]).startswith(folder):
                paths.append(str(arguments[0]))


sys.addaudithook(_hook)  # cannot be taken back: it does nothing while no list is open


@contextmanager
def opened(folder: Path) -> Iterator[list[str]]:
    """The files below a folder that the process opens."""
    paths: list[str] = []
    _lists.append((str(folder), paths))
    try:
        yield paths
    finally:
        _lists.clear()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", each=20, width_px=24)


def test_images_read_anew_are_files_opened_and_predicted(photos: Path, tmp_path: Path) -> None:
    """Without memory: moments, every epoch, every evaluation; as the plan said, and the same in the end."""
    content = {
        "data": {"source": f"folder:{photos}", "val": "20%", "cache": "no", "in_memory": "no", "processes": 0},
        "augment": {"crop": "random_resized", "flip": "random"},
        "model": {"name": "lenet5", "width": 0.05},
        "train": {"batch_size": 8, "precision": "fp32"},
        "out": {"plots": False},
        "stages": [{"epochs": 1, "side_px": 16}, {"epochs": 1, "side_px": 20}],
    }
    with one_thread():
        results = {}
        for name, choices in (("again", {}), ("memory", {"in_memory": "yes"}), ("processes", {"processes": 2})):
            recipe = parse_recipe({**content, "data": {**content["data"], **choices}})
            with opened(photos) as before:
                fingerprint = open_data(recipe)
                make_plan(recipe, fingerprint), fingerprint.manifest()
            with opened(photos) as paths, drawings(True):  # previews decode images, too
                results[name] = fit(recipe, tmp_path / name)
            decoded = results[name]["ledger"]["samples_decoded"]
            low_high = results[name]["predicted"]["samples_decoded"]
            low, high = low_high if isinstance(low_high, list) else (low_high, low_high)
            assert low <= decoded <= high
            if name != "processes":
                assert len(paths) == len(before) + decoded  # listed, hashed and planned once, then decoded
    validated = 6  # again at the side of the second stage
    assert results["memory"]["ledger"]["samples_decoded"] == 40 + validated
    assert results["again"]["ledger"]["samples_decoded"] == results["processes"]["ledger"]["samples_decoded"] > 100
    assert len({result["state"] for result in results.values()}) == 1
    assert len({result["digest"] for result in results.values()}) == 1


def test_every_image_that_is_decoded_is_one_file_opened(photos: Path) -> None:
    """Two stages of different side decode the training images twice; held-out ones once."""
    recipe = parse_recipe(
        {
            "data": {"source": f"folder:{photos}", "val": "20%", "cache": "no"},
            "model": {"name": "lenet5", "width": 0.05},
            "train": {"batch_size": 26},  # one batch an epoch: its decoding is that of its own stage
            "stages": [{"epochs": 1, "side_px": 16}, {"epochs": 1, "side_px": 20}],
        }
    )
    with one_thread():
        splits = open_data(recipe)
        with opened(photos) as headers:
            make_plan(recipe, splits)  # looks at a few headers to learn the images' side
        with opened(photos) as files:
            session = open_session(recipe, splits)
            for _ in train(session.task, session.train_data, session.run):
                session.book_decoding()
    decoded = session.run.ledger.total("samples_decoded")
    assert (
        len(files) - len(headers) == decoded == 2 * len(splits.train) + len(splits.val or ()) + len(splits.test or ())
    )
    assert session.run.ledger.total("decoded_pixels") == decoded * 20 * 24
    with_validation = decoded + len(splits.val or ())  # which nobody asks for here, at the second stage's side
    assert session.plan.predicted["samples_decoded"] == (with_validation, with_validation)
    by_stage = [counts["samples_decoded"] for counts in session.run.ledger.counts]
    assert by_stage == [decoded - len(splits.train), len(splits.train)]


def test_statistics_at_another_side_decode_no_image_twice(photos: Path, tmp_path: Path) -> None:
    """Evaluations want training images at their side, for BatchNorm, while another is trained on."""
    content = {
        "data": {"source": f"folder:{photos}", "val": "20%", "cache": "no", "in_memory": "yes"},
        "model": {"name": "cnn", "width": 0.1},
        "train": {"batch_size": 26, "precision": "fp32"},
        "select": {"method": "dbpd", "cost": 0.7, "guards": {"break_even": False}},
        "stages": [{"epochs": 3, "side_px": 16, "evaluation_side_px": 20}, {"epochs": 1, "side_px": 20}],
    }
    with one_thread():
        result = fit(parse_recipe(content), tmp_path / "run")
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    decoded, sizes = result["ledger"]["samples_decoded"], [plan[f"{name}_images"] for name in ("train", "val", "test")]
    assert decoded == 2 * sizes[0] + sizes[1] + sizes[2]
    assert result["predicted"]["samples_decoded"] in (decoded, [decoded, decoded])
    assert [stage["samples_decoded"] for stage in result["ledger"]["stages"]] == [decoded, 0]


def test_a_ledger_by_hand() -> None:
    """Two stages of a run on ten images, of which a plain epoch takes 60 FLOPs."""
    ledger = Ledger(2, 10, 60.0)
    ledger.book(0, samples_backpropagated=15, samples_forwarded=25, flops=90)
    ledger.book(1, samples_backpropagated=5, optimizer_steps=3, flops=60)
    ledger.book(1, optimizer_steps=1)
    assert (ledger.effective_epochs, ledger.full_epoch_equivalents) == (20 / 10, 150 / 60)
    totals = ledger.totals()
    assert (totals["effective_epochs"], totals["full_epoch_equivalents"]) == (2.0, 2.5)
    assert (totals["samples_forwarded"], totals["optimizer_steps"], totals["skipped_steps"]) == (25, 4, 0)
    assert [stage["samples_backpropagated"] for stage in totals["stages"]] == [15, 5]
    assert totals["peak_device_memory_bytes"] == 0
    assert "ranks" not in ledger.of_all_ranks(SingleProcess())


@pytest.mark.parametrize(("platform", "unit_bytes"), [("linux", 1024), ("darwin", 1)])
def test_memory_is_in_bytes_on_every_system(monkeypatch: pytest.MonkeyPatch, platform: str, unit_bytes: int) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=7_000_000_000))
    assert Ledger(1, 10, 60.0).peaks()["peak_memory_bytes"] == peak_memory_bytes() == 7_000_000_000 * unit_bytes


def test_a_resumed_ledger_goes_on_from_the_saved_one() -> None:
    """What all ranks share is put back; this process's own work, and its seconds, come on top."""
    before, after = Ledger(2, 10, 60.0), Ledger(2, 10, 60.0)
    before.book(0, samples_backpropagated=15, samples_decoded=8)
    before.seconds[0]["train"] = 5.0
    before.enter(1)
    before.book(1, flops=60, bytes_sent=7)
    after.book(0, samples_backpropagated=1, samples_decoded=2)
    after.seconds[0]["train"] = 1.0
    after.load_state_dict(before.state_dict())
    after.add_local(before.local())
    assert [counts["samples_backpropagated"] for counts in after.counts] == [15, 0]
    assert [counts["samples_decoded"] for counts in after.counts] == [10, 0]
    assert (after.total("flops"), after.total("bytes_sent")) == (60, 7)
    assert after.seconds[0]["train"] == 6.0


def _of_two(comm: Any) -> dict[str, Any]:
    ledger = Ledger(1, 10, 60.0)
    ledger.book(0, samples_backpropagated=20, samples_decoded=comm.rank + 3, bytes_sent=4)
    return ledger.of_all_ranks(comm)


def test_ranks_sum_their_own_work_and_share_the_rest() -> None:
    with one_thread():
        for totals in on_ranks(2, _of_two):
            assert (totals["samples_decoded"], totals["bytes_sent"]) == (7, 8)
            assert (totals["samples_backpropagated"], totals["effective_epochs"]) == (20, 2.0)
            assert [rank["samples_decoded"] for rank in totals["ranks"]] == [3, 4]
            assert all(set(rank["seconds"]) == set(TRAINING) for rank in totals["ranks"])


def test_seconds_add_up_to_the_total_and_belong_to_one_phase() -> None:
    ledger = Ledger(2, 10, 1.0)
    began = time.monotonic()
    with ledger.phase("train"):
        time.sleep(0.01)
        with ledger.phase("sync"):
            time.sleep(0.02)
    ledger.enter(1)
    with ledger.phase("evaluate"):
        time.sleep(0.01)
    totals, wall = ledger.totals(), time.monotonic() - began
    seconds = totals["seconds"]
    assert set(seconds) == {*PHASES, "total"}
    assert sum(seconds[name] for name in PHASES) == pytest.approx(seconds["total"])
    assert seconds["total"] <= wall + 1e-3
    assert seconds["sync"] >= 0.02
    assert seconds["train"] >= 0.01
    assert totals["stages"][1]["seconds"]["evaluate"] >= 0.01
    assert totals["stages"][0]["seconds"]["evaluate"] == 0
    assert totals["stages"][0]["seconds"]["train"] == seconds["train"], "a run begins in its first stage"
    assert Ledger(1, 10, 1.0, since=began - 60).total_seconds >= 60


def test_the_ledger_keeps_the_most_that_a_device_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at after every batch; a process that resumes goes on from what earlier ones have seen."""
    held = iter([3_000, 9_000, *[4_000] * 1000])
    monkeypatch.setattr(fit_loop, "device_memory_bytes", lambda device: next(held))
    content = {
        "data": {"source": "digits", "val": "none", "test": "90%"},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"epochs": 1, "batch_size": 32},
        "out": {"plots": False, "previews": False},
    }
    with one_thread():
        result = fit(parse_recipe(content), tmp_path / "run")
    assert result["ledger"]["peak_device_memory_bytes"] == 9_000
    state = checkpoint.load_newest(tmp_path / "run" / "checkpoints")[0]["ledger"]
    later = Ledger(1, 10, 1.0)
    later.saw_device_memory(8_000)
    assert later.peaks()["peak_device_memory_bytes"] == 8_000
    later.load_state_dict(state)
    assert later.totals()["peak_device_memory_bytes"] == 9_000
    del state["peak_device_memory_bytes"]  # as in version 0.1
    later.load_state_dict(state)
    assert later.peaks()["peak_device_memory_bytes"] == 9_000
    fresh = Ledger(1, 10, 1.0)
    fresh.load_state_dict(state)
    assert fresh.peaks()["peak_device_memory_bytes"] == 0


def _most(comm: Any) -> int:
    ledger = Ledger(1, 10, 1.0)
    ledger.saw_device_memory(100 * (comm.rank + 1))
    found: int = ledger.of_all_ranks(comm)["peak_device_memory_bytes"]
    return found


def test_of_several_processes_the_largest_memory_counts() -> None:
    with one_thread():
        assert on_ranks(2, _most) == [200, 200]


def _sent(comm: Any, floats: int) -> int:
    comm.all_reduce(torch.zeros(floats))
    sent: int = comm.take_bytes_sent()
    return sent


def test_bytes_sent_are_those_of_a_ring() -> None:
    """An all-reduce of P floats over K ranks sends 2 (K - 1) / K * 4 P bytes from each."""
    with one_thread():
        assert on_ranks(2, _sent, 1000) == [4000, 4000]
