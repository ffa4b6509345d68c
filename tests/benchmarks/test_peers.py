"""The loops of benchmarks/peers learn what can be learnt, end where they may, and cost what fewer would book."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import scripts
from paths import ROOT
from server import Server

LOOPS = {
    "timm": ("--epochs=9",),
    "torchvision": ("--epochs=3",),
    "textbook": ("--epochs=3",),
    "textbook, last layer only": ("--epochs=14", "--batch=1", "--head-only"),
    "airbench94": (),
}
COLOURS = {"blue": (20, 20, 230), "red": (230, 20, 20)}
EACH, SIDE = 12, 16


def _loop(name: str, *arguments: str) -> str:
    return scripts.run("benchmarks/peers", f"{name}_loop", *arguments)


def _colours(folder: Path) -> Path:
    """Class folders of pictures of one colour with some noise: a linear layer can tell them apart."""
    draw = np.random.default_rng(0)
    for split in ("train", "test"):
        for name, colour in COLOURS.items():
            (folder / split / name).mkdir(parents=True)
            for number in range(EACH):
                noise = draw.integers(-20, 21, (SIDE, SIDE, 3))
                pixels = (np.array(colour) + noise).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_learns_and_tells_of_every_epoch(server: Server, tmp_path: Path, name: str) -> None:
    data = _colours(tmp_path / "data")
    model = "cnn" if name == "airbench94" else "lenet5"
    flags = (f"--model=fewer:{model}", f"--side={SIDE}", "--batch=4", "--workers=0", "--crop-pct=1", *LOOPS[name])
    printed: str = server.call(
        _loop, name.partition(",")[0], str(data), *flags, "--target=1", "--channels-last", cwd=tmp_path
    )
    told = [json.loads(line) for line in printed.splitlines()]
    assert [line["epoch"] for line in told] == list(range(1, len(told) + 1))
    assert [line["samples"] for line in told] == [2 * EACH * epoch for epoch in range(1, len(told) + 1)]
    assert [line["accuracy"] for line in told][-1] == 1.0
    assert all(line["accuracy"] < 1.0 for line in told[:-1]), "it ends at the target"


def _begun(file: str) -> list[float]:
    """The first and the last weights of a net that begins with a file's."""
    sys.path.insert(0, str(ROOT / "benchmarks" / "peers"))
    import shared

    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 4))
    torch.nn.init.zeros_(net[1].weight)
    shared.begin_with(net, Path(file))
    return [float(net[0].weight.mean()), float(net[1].weight.mean())]


def test_first_weights_fill_all_but_the_head_whatever_their_names(server: Server, tmp_path: Path) -> None:
    torch.save(
        {"a": torch.ones(3, 2), "b": torch.ones(3), "c": torch.ones(9, 3), "d": torch.ones(9)}, tmp_path / "w.pt"
    )
    assert server.call(_begun, str(tmp_path / "w.pt"), cwd=tmp_path) == [1.0, 0.0]


def _precision(moved_px: float) -> float:
    """AP50 of a detector that finds every object, moved by some pixels."""
    sys.path.insert(0, str(ROOT / "benchmarks" / "peers"))
    import detection_loop

    box = torch.tensor([[10.0, 10.0, 30.0, 30.0]])
    found = {"boxes": box + moved_px, "labels": torch.tensor([0]), "scores": torch.tensor([0.9])}

    class Finder(torch.nn.Module):
        def forward(self, images: Sequence[Any]) -> list[dict[str, torch.Tensor]]:
            return [found]

    class Pictures:
        ids, classes = [3, 8], 1

    batches = [([torch.zeros(3, 40, 40)], [{"boxes": box, "labels": torch.tensor([0])}])] * 2
    return float(detection_loop.scalars_of(Finder(), batches, Pictures())["ap50"])


def test_detections_are_judged_by_coco_s_rules(server: Server, tmp_path: Path) -> None:
    assert server.call(_precision, 1.0, cwd=tmp_path) == pytest.approx(1.0)
    assert server.call(_precision, 15.0, cwd=tmp_path) == pytest.approx(0.0)


def _detected(data: str) -> str:
    flags = ("--model=fewer:fcos_mobilenet_v2", "--side=64", "--workers=0", "--epochs=1", "--batch=4")
    return _loop("detection", data, *flags)


def test_the_loop_for_detection_trains_on_the_sources_own_splits(server: Server, tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from common import shapes
    finally:
        sys.path.pop(0)
    with shapes(10, 64) as folder:
        (told,) = server.call(_detected, f"voc:{folder / 'boxes'}", cwd=tmp_path).splitlines()
    assert json.loads(told)["samples"] == 6  # of five of each class one is for the test and one held out
    assert 0 <= json.loads(told)["accuracy"] <= 1


def _costs() -> dict[str, Any]:
    """What peer_costs.py counts for nets at 32 px, and what a process does that never ends."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import peers
    from peer_costs import Network

    plain, whitened = Network("cnn", 32, 10), Network("cnn", 32, 10, {"whiten": True, "whiten_bias_epochs": 1})
    head_only = Network("cnn", 32, 10, is_head_only=True)
    told = [{"epoch": 1, "samples": 10}, {"epoch": 2, "samples": 30}]
    endless = peers.run(("-c", "print('{}', flush=True)\nwhile True: pass"), Path("none"), 1 / 60)
    return {
        "sample": plain.sample_flops(),
        "plain": plain.training_flops(told),
        "whitened": whitened.training_flops(told) - whitened.training_flops(told[:1]),
        "head_only": head_only.training_flops(told),
        "nothing": plain.training_flops([]),
        "is_over_time": endless.is_over_time,
        "evaluations": endless.evaluations,
    }


def test_costs_are_those_that_fewer_books_and_time_runs_out(server: Server, tmp_path: Path) -> None:
    found = server.call(_costs, cwd=tmp_path)
    assert found["plain"] == 30 * found["sample"]
    assert 0 < found["whitened"] < 20 * found["sample"], "a fixed layer needs no gradient"
    assert 0.3 < found["head_only"] / found["plain"] < 0.4, "forwards of the net, and next to no backwards"
    assert found["nothing"] == 0
    assert found["is_over_time"]
    assert found["evaluations"] == [{}]


def _table(lines: list[dict[str, Any]]) -> str:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from peer_table import table

    return table(lines)


def test_the_table_says_what_was_not_run_and_what_was_not_reached(server: Server, tmp_path: Path) -> None:
    line = {"case": "photos", "settings": "theirs", "minutes": 15.0}
    line |= {"cpu_seconds": 9.0, "full_epoch_equivalents": 2.0, "epochs": 3, "machine": {"vectors": "avx2"}}
    missed = {"seed": 0, "best": 0.9, "seconds_to_target": None}
    lines = [
        {**line, "trained_by": "fewer", "seed": 0, "best": 0.97, "seconds_to_target": 100.0},
        {**line, "trained_by": "fewer", "seed": 1, "best": 0.98, "seconds_to_target": 140.0},
        {**line, "trained_by": "timm", "seed": 0, "best": 0.96, "seconds_to_target": 250.0},
        {**line, "trained_by": "textbook", **missed, "is_over_time": True},
        {**line, "case": "labels", "trained_by": "fewer", **missed, "is_over_time": False},
        {**line, "case": "labels", "trained_by": "fewer", "seed": 1, "best": 0.9, "seconds_to_target": 5.0}
        | {"is_over_time": False, "cpu_seconds": 4.0, "machine": {"vectors": "amx"}},
    ]
    rows = [
        [cell.strip() for cell in row.strip("|").split("|")]
        for row in server.call(_table, lines, cwd=tmp_path).splitlines()
    ]
    by_name = {row[1]: row[2:] for row in rows[2:11]}
    assert by_name["fewer"] == ["2", "97.5 ± 0.7", "120 ± 28", "1.00 ± 0.00", "9 ± 0", "2.00 ± 0.00", "3 ± 0"]
    assert by_name["timm"] == ["1", "96.0", "250", "2.50", "9", "2.00", "3"]
    assert by_name["textbook"] == [
        "1",
        "90.0",
        "not reached, ended after 15 minutes of computing",
        "–",
        "9",
        "2.00",
        "3",
    ]
    assert by_name["torchvision"] == ["0", *["not run"] * 6]
    assert rows[11][1:3] == ["all", "0"]
    assert rows[12][1:5] == ["fewer", "2", "90.0 ± 0.0", "5; not reached by 1 of 2"]
    assert rows[12][6] == "9, 4", "no mean over seconds of different processors"
