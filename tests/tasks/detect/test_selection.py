"""Selection of images with boxes: numbers stay with their image, groups keep their share, and runs obey the laws."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from PIL import Image

from annotated import Box, dataset, xml
from fewer.core.types import At, Request
from fewer.plan.plan import Plan
from fewer.recipe.parse import parse_recipe
from fewer.select.wrappers.within_groups import WithinGroups
from fewer.session.build import open_data
from fewer.session.selector import population_of, selector_of
from fewer.testing import laws
from fewer.testing.harness import Content, begun, interrupted, one_thread, plan_of, session_of, trained
from fewer.testing.ranks import on_ranks
from fewer.training.loop import train
from zoo import encoded

SIZES = [(60, 40), (40, 60), (64, 32), (32, 64), (48, 48), (60, 30), (30, 60), (64, 60), (44, 40), (40, 44)]
OBJECTS = [1, 3, 0, 2, 1, 4, 2, 0, 3, 1]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    """A recipe in float64 on pictures of many shapes with none to four objects, by a net whose statistics stay."""
    files: dict[str, bytes] = {}
    for number, ((wide, high), count) in enumerate(zip(SIZES, OBJECTS, strict=True)):
        shown, boxes = Image.new("RGB", (wide, high), (20 * number, 40, 90)), list[Box]()
        for place in range(count):
            left, top = 2 + 9 * place % (wide - 16), 3 + 7 * (place + number) % (high - 16)
            shown.paste((240, 200 - 40 * place, 10 * number), (left, top, left + 12, top + 12))
            boxes.append(("bee" if place else "fly", left + 1, top + 1, left + 12, top + 12))
        files[f"JPEGImages/{number}.png"] = encoded(shown)
        files[f"Annotations/{number}.xml"] = xml(f"{number}.png", boxes, size=(wide, high))
    torch.manual_seed(0)
    weights = tmp_path_factory.mktemp("weights") / "trunk.pt"
    torch.save(torchvision.models.mobilenet_v3_small(num_classes=2).state_dict(), weights)
    net = {"name": "fcos_mobilenet_v3_small", "channels": 32, "head_convs": 1}
    return {
        "data": {"source": f"voc:{dataset(tmp_path_factory.mktemp('boxes'), files)}", "val": "none", "test": "none"},
        "task": {"name": "detect"},
        "model": {**net, "norms": "frozen", "weights": str(weights)},
        "train": {
            "epochs": 3, "batch_size": 4, "side_px": 64, "lr": 1e-30, "weight_decay": 0.0, "precision": "fp64",
        },
    }  # fmt: skip


AFSS = {"method": "afss", "warmup": "1ep", "look_every": 1, "guards": "off"}
NUMBERS = ("loss", "precision", "recall")


def numbers(comm: Any, content: Content, plan: Plan) -> dict[str, list[float]]:
    """Loss, precision and recall of each image, by its last look in training or without a step."""
    session = begun(session_of(content, comm, plan))
    for _ in train(session.task, session.train_data, session.run):
        pass
    session.close()
    state = session.run.selection.table.state_dict()
    return {name: state[name].tolist() for name in state if name.partition(".")[2] in NUMBERS}


def test_numbers_stay_with_their_image(content: Content) -> None:
    """The net does not learn: in batches of any shapes, on any rank, an image has the numbers that it has alone."""
    asked = {**content, "data": {**content["data"], "in_memory": "no", "processes": 1}, "select": AFSS}
    plan = plan_of(asked, 2)
    session = session_of(asked, plan=plan)
    own: dict[str, dict[int, float]] = {name: {} for name in NUMBERS}
    model, columns = session.run.workers[0].model.eval(), session.run.selection.columns
    for id in range(len(SIZES)):
        request = Request.training(plan.stage(0), 0, torch.tensor([id]))
        (batch,) = session.train_data.batches([request])
        with torch.no_grad():
            found = session.task.outcome(model, batch, At(0, 3, 0.0), columns).observed(batch.ids_B)
        for name, values in own.items():
            values[id] = float(found.columns[name])
    session.close()
    assert len({round(loss, 9) for loss in own["loss"].values()}) == len(SIZES), "losses tell images apart"
    for table in on_ranks(2, numbers, asked, plan):
        known = {name: values for name, values in table.items() if not all(map(math.isnan, values))}
        assert "trained.loss" in known
        assert any(name.endswith(".precision") for name in known)
        for name, values in known.items():
            mine = own[name.partition(".")[2]]
            ids = [id for id, value in enumerate(values) if not math.isnan(value)]
            assert [values[id] for id in ids] == pytest.approx([mine[id] for id in ids], rel=1e-5), name


def test_groups_are_numbers_of_objects_and_classes_are_known(content: Content) -> None:
    recipe = parse_recipe({**content, "select": {"method": "dbpd"}})
    splits = open_data(recipe)
    found = population_of(recipe, splits)
    assert not found.groups_are_classes
    assert [int(group) == 0 for group in found.group_N] == [count == 0 for count in OBJECTS]
    assert found.shown is not None
    shows = set(zip(found.shown.id_P.tolist(), found.shown.class_P.tolist(), strict=True))
    fly = splits.classes.index("fly")
    assert shows == {(id, fly) for id, count in enumerate(OBJECTS) if count} | {
        (id, 1 - fly) for id, count in enumerate(OBJECTS) if count > 1
    }
    guarded: Any = selector_of(recipe, splits)
    assert any(isinstance(each, WithinGroups) for each in (guarded.selector, guarded.selector.selector))


def test_a_run_goes_on_bit_for_bit(content: Content, tmp_path: Path) -> None:
    chosen = {"method": "afss", "warmup": "1ep", "hard_until": 0.0, "easy_from": 0.3, "middling": 0.2, "look_every": 2}
    recipe = {**content, "train": {**content["train"], "lr": 0.003}, "select": chosen}
    unstopped = trained(recipe).run
    assert interrupted(recipe, [2, 5], folder=str(tmp_path)).run.digest() == unstopped.digest()


def test_off_is_plain(content: Content) -> None:
    recipe = {**content, "train": {**content["train"], "lr": 0.01, "epochs": 2}}
    laws.off_is_plain(recipe, [{"method": "afss", "warmup": "1ep", "middling": 1.0, "review_every": 1}])
