"""Detectors against torchvision's own forward: the same losses and boxes of the same weights."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torchvision.models import detection

from boxes import rectangles, without_objects
from fewer import models
from fewer.core import rng
from fewer.core.detection import Detected, Limits
from fewer.models.nets.detection.regions import drawn

SMALL = {
    "fcos": {"name": "fcos_mobilenet_v3_small", "channels": 32, "head_convs": 1},
    "retinanet": {"name": "retinanet_resnet18", "channels": 32, "head_convs": 1},
    "fasterrcnn": {"name": "fasterrcnn_mobilenet_v3_small", "channels": 32},
    "ssdlite": {"name": "ssdlite_mobilenet_v3_small"},
}
BACKGROUND = ("fasterrcnn", "ssdlite")  # architectures whose classes begin with one, at torchvision's


class _Drawn:
    """torchvision's interface of a sampler, with draws of our own."""

    def __init__(self, own: Any, purpose: str) -> None:
        self.own, self.purpose = own, purpose

    def __call__(self, labels: list[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        masks: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
        for label_N in labels:
            found = drawn(label_N, self.own.batch_size_per_image, self.own.positive_fraction, 0, self.purpose)
            for mask, index in zip(masks, found, strict=True):
                mask.append(torch.zeros(len(label_N), dtype=torch.bool).index_fill(0, index, True))
        return masks


def built(architecture: str) -> Any:
    rng.reseed(0, "detector", architecture)
    options = dict(SMALL[architecture])
    model = models.build(str(options.pop("name")), 3, 96, **options).double()
    for layer in model.modules():  # norms that are as they were drawn hide what comes before them
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.1, 0.1)
    return model


def torchvisions(model: Any, architecture: str) -> Any:
    """A detector of torchvision's own class with the same layers, whose inner transform changes nothing."""
    twin = copy.deepcopy(model)
    asis = {"min_size": 64, "max_size": 96, "image_mean": [0.0] * 3, "image_std": [1.0] * 3}
    if architecture == "fcos":
        made = detection.FCOS(twin.backbone, 3, anchor_generator=twin.anchor_generator, head=twin.head, **asis)
    elif architecture == "retinanet":
        made = detection.RetinaNet(twin.backbone, 3, anchor_generator=twin.anchor_generator, head=twin.head, **asis)
    elif architecture == "ssdlite":
        own = twin.anchor_generator
        boxes = detection.ssd.DefaultBoxGenerator(own.aspect_ratios, scales=own.scales)
        boxes._wh_pairs = boxes._generate_wh_pairs(len(own.aspect_ratios), dtype=torch.float64)
        same = {"nms_thresh": twin.nms_thresh, "topk_candidates": twin.topk_candidates}
        size, plain = (96, 64), {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}
        made = detection.ssd.SSD(twin.backbone, boxes, size, 4, head=twin.head, **plain, **same)
    else:
        made = detection.FasterRCNN.__new__(detection.FasterRCNN)
        made.__dict__.update(twin.__dict__)
        made.transform = detection.transform.GeneralizedRCNNTransform(**asis)
        made.rpn.fg_bg_sampler = _Drawn(made.rpn.fg_bg_sampler, "anchors")
        made.roi_heads.fg_bg_sampler = _Drawn(made.roi_heads.fg_bg_sampler, "regions")
    anchors = made.rpn if architecture == "fasterrcnn" else made
    if architecture != "ssdlite":
        own = anchors.anchor_generator
        anchors.anchor_generator = detection.anchor_utils.AnchorGenerator(own.sizes, own.aspect_ratios)
    return made


def total(found: Detected) -> torch.Tensor:
    return torch.stack(list(found.loss_sum_B.values())).sum(0)


@pytest.mark.parametrize("architecture", SMALL)
def test_losses_of_images_add_up_to_torchvisions_loss(architecture: str) -> None:
    """Sums over counts are its own losses, and so are the gradients, where every image has objects."""
    model = built(architecture)
    theirs = torchvisions(model, architecture).train()
    images, targets = rectangles(3)
    images = images.double()
    first = int(architecture in BACKGROUND)
    shifted = [{"boxes": each["boxes"].double(), "labels": each["labels"] + first} for each in targets]
    expected = torch.stack(list(theirs(list(images), shifted).values())).sum()
    found = model.train()(images, targets)
    ours = total(found).sum() / found.count_B.sum()
    # torchvision computes labels of anchors, and the middles of default boxes, in float32.
    tight = 1e-7 if architecture in BACKGROUND else 1e-9
    assert ours.item() == pytest.approx(expected.item(), rel=tight)
    expected.backward()
    ours.backward()
    gradients = dict(theirs.named_parameters())
    for name, parameter in model.named_parameters():
        wanted = gradients[name].grad
        assert (parameter.grad is None) == (wanted is None), name
        assert wanted is None or torch.allclose(parameter.grad, wanted, rtol=1e-5, atol=10 * tight), name


@pytest.mark.parametrize("architecture", SMALL)
def test_boxes_are_torchvisions(architecture: str) -> None:
    model = built(architecture).eval()
    theirs = torchvisions(model, architecture).eval()
    images = rectangles(3)[0].double()
    heads = theirs.roi_heads if architecture == "fasterrcnn" else theirs
    heads.score_thresh, heads.detections_per_img = 0.005, 50
    with torch.no_grad():
        found = model(images).find(Limits(0.005, None, 50))
        expected = theirs(list(images))
    for ours, wanted in zip(found, expected, strict=True):
        assert torch.allclose(ours.score_K, wanted["scores"], atol=1e-12)
        assert torch.equal(ours.label_K, wanted["labels"] - int(architecture in BACKGROUND))
        assert torch.allclose(ours.box_K4, wanted["boxes"], atol=1e-6)
    assert any(len(each.score_K) for each in found), "no boxes, nothing compared"


@pytest.mark.parametrize("architecture", SMALL)
def test_losses_of_an_image_are_its_own(architecture: str) -> None:
    """Another image in one place changes only that entry, and entries permute with images; one has no objects."""
    model = built(architecture).eval()
    images, targets = rectangles(4)
    images, targets = images.double(), without_objects(targets, 2)
    for place, target in enumerate(targets):
        target["draw"] = torch.tensor(1000 + place)
    found = model(images, targets)
    order = torch.tensor([3, 1, 0, 2])
    turned = model(images[order], [targets[i] for i in order])
    other = images.clone()
    other[1] = images[0]
    changed = model(other, targets)
    assert bool((found.count_B > 0).all())
    kept = torch.tensor([0, 2, 3])
    for name, loss_B in found.loss_sum_B.items():
        assert torch.allclose(turned.loss_sum_B[name], loss_B[order], rtol=1e-9)
        assert torch.allclose(changed.loss_sum_B[name][kept], loss_B[kept], rtol=1e-9)
    assert not torch.isclose(total(changed)[1], total(found)[1], rtol=1e-6)
    assert torch.allclose(turned.sure_B, found.sure_B[order], rtol=1e-9)
    assert found.loss_sum_B["class"][2].item() > 0, "an image without objects is learnt from"
    assert found.loss_sum_B["box"][2].item() == pytest.approx(0, abs=1e-12)
    assert bool(((found.sure_B >= 0) & (found.sure_B <= 1)).all())


@pytest.mark.parametrize("architecture", SMALL)
def test_nothing_is_kept_beside_the_state(architecture: str) -> None:
    """A copy in float32 that has seen other frames gives what a fresh one gives; no tensor lies outside the state."""
    from fewer.models.skeleton import is_its_state

    model = built(architecture).eval().float()
    images, targets = rectangles(2)
    wider = rectangles(2, 96, 128)[0]
    fresh = copy.deepcopy(model)
    with torch.no_grad():
        model(wider)
        again, wanted = total(model(images, targets)), total(fresh(images, targets))
    assert torch.equal(again, wanted)
    assert is_its_state(model)


@pytest.mark.parametrize("architecture", SMALL)
def test_half_precision_computes_losses_in_float32(architecture: str) -> None:
    model = built(architecture).eval().float().to(memory_format=torch.channels_last)
    images, targets = rectangles(2)
    with torch.no_grad():
        plain = total(model(images, targets))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model(images.to(memory_format=torch.channels_last), targets)
            boxes = found.find(Limits(0.01, None, 10))
    assert total(found).dtype == torch.float32
    assert torch.allclose(total(found), plain, rtol=0.1)
    assert all(each.box_K4.dtype == torch.float32 for each in boxes)


def test_draws_depend_on_the_images_number_alone() -> None:
    label_N = torch.tensor([1, 0, 0, 1, -1, 0, 0, 2, 0, 1] * 20)
    state = torch.get_rng_state()
    objects, others = drawn(label_N, 40, 0.25, torch.tensor(5), "anchors")
    assert torch.equal(torch.get_rng_state(), state)
    assert len(objects) == 10
    assert len(others) == 30
    assert bool((label_N[objects] > 0).all())
    assert bool((label_N[others] == 0).all())
    again, _ = drawn(label_N, 40, 0.25, torch.tensor(5), "anchors")
    assert torch.equal(again, objects)
    another, _ = drawn(label_N, 40, 0.25, torch.tensor(6), "anchors")
    assert not torch.equal(another, objects)
    few, many = drawn(label_N[:5], 40, 0.25, 0, "anchors")
    assert few.tolist() == [0, 3]
    assert many.tolist() == [1, 2]
