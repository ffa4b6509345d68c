"""Detection: the laws of tasks, a few pictures learnt by heart, boxes in pixels of the picture, FLOPs."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from boxes import rectangles, seen_whole, without_objects
from fewer import models
from fewer.core import rng
from fewer.core.metadata import TaskSetting
from fewer.core.ragged import Ragged
from fewer.core.types import At, Batch
from fewer.plan.flops import sample_flops
from fewer.sync.comm import SingleProcess
from fewer.tasks import detect
from fewer.tasks.detect.task import Detect
from fewer.testing.flops import FlopsFromShapes
from fewer.testing.tasks import check_task

SMALL: dict[str, dict[str, Any]] = {
    "fcos": {"name": "fcos_mobilenet_v3_small", "channels": 32, "head_convs": 1},
    "retinanet": {"name": "retinanet_mobilenet_v3_small", "channels": 32, "head_convs": 1},
    "fasterrcnn": {"name": "fasterrcnn_mobilenet_v3_small", "channels": 32},
    "ssdlite": {"name": "ssdlite_mobilenet_v3_small"},
}
CLASSES = ("red", "green", "blue")
HEIGHT, WIDTH, REGIONS, STEPS = 64, 64, 24, 45


def model_of(architecture: str) -> torch.nn.Module:
    rng.reseed(0, "detector", architecture)
    model = models.build(**SMALL[architecture], classes=3, side_px=96)
    if architecture == "fasterrcnn":  # most of its time goes into features of regions
        model.roi_heads.fg_bg_sampler.batch_size_per_image = REGIONS
    return model


def batch_of(images: int, background: int = -1, width: int = WIDTH) -> Batch:
    pictures, targets = rectangles(images, HEIGHT, width, most=width // 32)
    targets = seen_whole(without_objects(targets, background), width, HEIGHT)
    return Batch(torch.arange(10, 10 + images), pictures, Ragged(tuple(targets)))


@pytest.mark.parametrize("architecture", SMALL)
def test_it_keeps_the_promises_of_tasks(architecture: str) -> None:
    def build() -> tuple[Detect, torch.nn.Module]:
        model = model_of(architecture).double()
        heads = set(model.head_layers)
        with torch.no_grad():  # outputs of first weights hardly depend on the image
            for name, parameter in model.named_parameters():
                if name.rpartition(".")[0] in heads and parameter.dim() > 1:
                    parameter.mul_(3)
        for layer in model.modules():  # running averages that follow so short a training
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 0.5
        return detect.plain(CLASSES, aspect=1.0), model

    batch = batch_of(4, background=2, width=96)
    check_task(build, Batch(batch.ids_B, batch.inputs.double(), batch.targets))


def learnt(architecture: str, batch: Batch, steps: int = STEPS) -> torch.nn.Module:
    task, model = detect.plain(CLASSES, aspect=1.0), model_of(architecture).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for step in range(steps):
        optimizer.zero_grad()
        outcome = task.outcome(model, batch, At(step, steps, step / steps))
        (outcome.loss_sum_B.sum() / outcome.count_B.sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():  # running averages lag behind so short a training
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.reset_running_stats()
                layer.momentum = None
        model(batch.inputs)
    return model.eval()


@pytest.mark.parametrize("architecture", SMALL)
def test_it_learns_eight_pictures_by_heart(architecture: str) -> None:
    batch = batch_of(8)
    model = learnt(architecture, batch)
    task = detect.plain(CLASSES, aspect=1.0)
    found = task.evaluate(model, [batch], SingleProcess()).scalars
    assert found["ap50"] > 0.9, found
    predictions = task.predictions(model, batch, 100)
    for prediction, target in zip(predictions, batch.targets, strict=True):
        assert prediction.size == (2 * WIDTH + 40, 2 * HEIGHT)
        for own in target["own_boxes"]:  # close to one of them, in pixels of the picture
            far = [(torch.tensor(box, dtype=torch.float64) - own).abs().max() for _, _, box in prediction.found]
            assert min(far, default=torch.tensor(torch.inf)) < 16


@pytest.mark.parametrize("architecture", SMALL)
def test_flops_on_the_meta_device_are_those_of_a_real_forward_and_backward(architecture: str) -> None:
    """Of a batch of two with objects; Faster R-CNN's regions are those that training draws, where there are enough."""
    task, model = detect.plain(CLASSES, aspect=1.0), model_of(architecture)
    forward, backward = sample_flops(task, model, WIDTH)
    with FlopsFromShapes() as counted:
        loss = task.outcome(model.train(), batch_of(2), At(0, 1, 0.0)).loss_sum_B.sum()
        loss.backward()
    assert counted.forward / 2 == pytest.approx(forward, rel=0.02)
    assert counted.backward / 2 == pytest.approx(backward, rel=0.02)


def test_right_and_score_tell_what_is_learnt() -> None:
    batch = batch_of(6, background=3)
    task, model = detect.plain(CLASSES, aspect=1.0), learnt("fcos", batch)
    after = task.outcome(model, batch, At(0, 1, 0.0))
    before = task.outcome(model_of("fcos").eval(), batch, At(0, 1, 0.0))
    assert before.right_B.tolist() == [False, False, False, True, False, False], "at first all is background"
    assert bool(after.right_B.all())
    with_objects = torch.tensor([0, 1, 2, 4, 5])
    assert bool((after.score_B > before.score_B)[with_objects].all())
    assert bool(((after.score_B > 0) & (after.score_B <= 1)).all())
    mean_B = after.loss_sum_B / after.count_B
    assert torch.allclose(after.score_B, torch.exp(-mean_B))
    assert torch.allclose(after.metrics["class_loss"] + after.metrics["box_loss"], mean_B)


def test_settings_of_a_recipe_reach_the_metadata_and_come_back() -> None:
    params = detect.Params(score_threshold=0.05, nms_iou=0.6, detections_max=20, shown_score=0.5)
    task = detect.build(params, TaskSetting(CLASSES, aspect=1.5))
    restored = detect.restored(detect.Metadata.model_validate(task.metadata()), None)
    assert restored.metadata() == task.metadata()
    assert restored.limits.most == 20
    batch = task.dummy_batch(64, torch.device("cpu"), torch.float32)
    assert batch.inputs.shape == (2, 3, 64, 64)


def test_a_classifier_is_refused() -> None:
    task = detect.plain(CLASSES)
    with pytest.raises(ValueError, match="is no detector"):
        task.dry_run(torch.nn.Flatten(), task.dummy_batch(32, torch.device("meta"), torch.float32))
    other, model = detect.plain(CLASSES[:2]), model_of("fcos").to("meta")
    dummy = other.dummy_batch(64, torch.device("meta"), torch.float32)
    with pytest.raises(ValueError, match="tells 3 classes apart, not 2"):
        other.dry_run(model, dummy)


def test_the_compiled_part_gives_the_models_own_losses() -> None:
    from contextlib import nullcontext

    from fewer.core.types import Stage
    from fewer.training.compile import Compiler

    task, batch, model = detect.plain(CLASSES, aspect=1.0), batch_of(2), model_of("fcos").double().train()
    batch = Batch(batch.ids_B, batch.inputs.double(), batch.targets)
    expected = task.outcome(copy.deepcopy(model), batch, At(0, 1, 0.0))
    failures: list[str] = []
    compiler = Compiler(False, False, nullcontext, failures.append, backend="eager")
    forward = compiler.forward(model, Stage(0, 0, 1, 64, 2), [2])
    for _ in range(2):
        found = task.outcome(forward, batch, At(0, 1, 0.0))
        assert torch.allclose(found.loss_sum_B, expected.loss_sum_B)
    assert not failures
