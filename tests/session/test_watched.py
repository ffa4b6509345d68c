"""Watched images: always the same ones, what is said of them after every evaluation, and what a resume makes of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from fewer.core.types import Batch, Caption, Request
from fewer.plan.shown import shown_of
from fewer.runs.record import read_json
from fewer.session.watched import Watched

WATCHED = shown_of(is_whole=False).watched
CLASSES = ["ant", "bee\u202e", "cow"]


class Data:
    """Sixty images of three classes, each as grey as its number."""

    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def __init__(self) -> None:
        names = [f"{number}.png" for number in range(60)]
        self.split = SimpleNamespace(
            ids_M=torch.arange(60), label_N=torch.arange(60) % 3, classes=CLASSES, source=SimpleNamespace(names=names)
        )
        self.asked: list[Request] = []

    def batches(self, requests: list[Request]) -> Any:
        self.asked += requests
        for request in requests:
            shade_B111 = request.ids_B.float().view(-1, 1, 1, 1) / 60
            yield Batch(request.ids_B, shade_B111.expand(-1, 3, request.side_px, request.side_px), request.ids_B)


class Task:
    """Predicts what the model, a number, says: that class for every image."""

    def predictions(self, model: Any, inputs: Any, most: int) -> list[int]:
        return [model] * len(inputs)

    def format(self, most: int) -> Any:
        return SimpleNamespace(draw=lambda image, said: Caption(CLASSES[said], said, 0.25 * said))


def test_the_same_images_are_shown_after_every_evaluation(tmp_path: Path) -> None:
    data = Data()
    watched = Watched(data, Task(), tmp_path)  # type: ignore[arg-type]
    for epoch in range(1, 13):
        watched.look(epoch % 3, 8, epoch)  # type: ignore[arg-type]
    assert len(data.asked) == 1, "they are loaded once for a side"
    found = read_json(tmp_path / "validation.json")
    assert len(found["images"]) == WATCHED
    assert [image["class"] for image in found["images"]][:4] == ["ant", CLASSES[1], "cow", "ant"]
    assert list(found["epochs"]) == [str(epoch) for epoch in range(1, 13)]
    assert found["epochs"]["5"] == [["cow", 2, 0.5]] * WATCHED
    with Image.open(tmp_path / "validation.jpg") as strip:
        assert strip.width < 1100, "of many epochs a few are shown"
    watched.look(0, 16, 13)  # type: ignore[arg-type]
    assert [request.side_px for request in data.asked] == [8, 16]


@pytest.mark.parametrize("damaged", ["", "{}", '{"epochs": {"1": [["ant", 0, 0.5]]}}', '{"epochs": {"x": 3}}'])
def test_a_resumed_run_goes_on_and_takes_back_what_it_repeats(tmp_path: Path, damaged: str) -> None:
    first = Watched(Data(), Task(), tmp_path)  # type: ignore[arg-type]
    for epoch in (1, 2, 3):
        first.look(0, 8, epoch)  # type: ignore[arg-type]
    Watched(Data(), Task(), tmp_path).look(1, 8, 2)  # type: ignore[arg-type]
    found = read_json(tmp_path / "validation.json")["epochs"]
    assert {epoch: said[0][0] for epoch, said in found.items()} == {"1": "ant", "2": CLASSES[1]}
    (tmp_path / "validation.json").write_text(damaged)
    Watched(Data(), Task(), tmp_path).look(2, 8, 4)  # type: ignore[arg-type]
    assert list(read_json(tmp_path / "validation.json")["epochs"]) == ["4"]
