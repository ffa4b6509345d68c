"""Families of detectors: names, first weights of a classifier, keys that do not go together, side effects."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from boxes import rectangles
from fewer import models
from fewer.core.errors import RecipeError
from fewer.models import hub
from fewer.models.families import detectors
from fewer.models.matching import heads
from fewer.models.pretrained import read_weights

SMALL = {"name": "fcos_mobilenet_v2", "channels": 32, "head_convs": 1}


def test_names_are_torchvisions_own_and_ours() -> None:
    listed = torchvision.models.list_models(module=torchvision.models.detection)
    theirs = {name for name in listed if not name.startswith(("keypoint", "mask"))}
    own = {name for name in models.names() if _task(name) == "detect"}
    assert theirs <= own
    assert {"fcos_mobilenet_v2", "retinanet_resnet18", "fasterrcnn_mobilenet_v2", "ssdlite_mobilenet_v2"} <= own
    assert _task("resnet18") == "classify"


def _task(name: str) -> str:
    return str(getattr(models.family(name), "TASK", "classify"))


@pytest.mark.parametrize("prefix", ["", "features.", "model.features."])
def test_a_classifiers_weights_go_into_the_trunk(prefix: str, tmp_path: Path) -> None:
    """Whatever stands before their names; the classifier's own head is left out, and ours keeps its first values."""
    trunk = torchvision.models.mobilenet_v2().features.state_dict()
    file = {f"{prefix}{name}": tensor + 0.5 for name, tensor in trunk.items()}
    if prefix == "features.":
        file |= {"classifier.1.weight": torch.ones(1000, 1280), "classifier.1.bias": torch.ones(1000)}
    save_file(file, tmp_path / "trunk.safetensors")
    params = models.params(SMALL["name"])(**SMALL, weights=str(tmp_path / "trunk.safetensors"))
    model = models.build(**SMALL, classes=2, side_px=64)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    weights = read_weights(params)
    assert weights is not None
    weights.put_into(params, model, 2)
    after = model.state_dict()
    for name, tensor in after.items():
        own = name.removeprefix("backbone.body.")
        expected = trunk[own] + 0.5 if own in trunk else before[name]
        assert torch.equal(tensor, expected.to(tensor.dtype)), name
    assert weights.moments is not None
    assert weights.moments[0] == pytest.approx((0.485, 0.456, 0.406))


def test_weights_of_another_trunk_are_refused(tmp_path: Path) -> None:
    save_file(torchvision.models.resnet18().state_dict(), tmp_path / "other.safetensors")
    params = models.params("retinanet_resnet34")(name="retinanet_resnet34", weights=str(tmp_path / "other.safetensors"))
    weights = read_weights(params)
    assert weights is not None
    with pytest.raises(RecipeError, match="another architecture"):
        weights.fitted(params, models.build("retinanet_resnet34", 2, 64), 2)


def test_a_detectors_weights_fit_for_other_classes(tmp_path: Path) -> None:
    """All is copied but the layer of the classes, which keeps its prior."""
    save_file(models.build(**SMALL, classes=5, side_px=64).state_dict(), tmp_path / "five.safetensors")
    params = models.params(SMALL["name"])(**SMALL, weights=str(tmp_path / "five.safetensors"))
    model = models.build(**SMALL, classes=2, side_px=64)
    weights = read_weights(params)
    assert weights is not None
    found = weights.fitted(params, model, 2)
    assert found.head == ["head.classification_head.cls_logits.weight", "head.classification_head.cls_logits.bias"]
    weights.put_into(params, model, 2)
    assert model.head.classification_head.cls_logits.bias.max() < -4


def test_the_head_is_all_behind_the_trunk() -> None:
    model = models.build(**SMALL, classes=2, side_px=64)
    found = heads(model, 2)
    assert "backbone.fpn.inner_blocks.0.0" in found
    assert "head.classification_head.cls_logits" in found
    assert not any(name.startswith("backbone.body.") for name in found)


def test_frozen_norms_keep_their_statistics() -> None:
    model = models.build(**SMALL, classes=2, side_px=64, norms="frozen", weights="default").train()
    before = {name: tensor.clone() for name, tensor in model.named_buffers()}
    model(*rectangles(2, classes=2))
    assert any("running_mean" in name for name in before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.named_buffers())


@pytest.mark.parametrize(
    ("name", "keys", "key"),
    [
        ("fcos_mobilenet_v2", {"head": "normalized"}, "head"),
        ("fcos_mobilenet_v2", {"norms": "frozen"}, "norms"),
        ("fcos_mobilenet_v2", {"anchor_px": (8.0, 16.0, 32.0, 64.0, 128.0)}, "anchor_px"),
        ("fasterrcnn_mobilenet_v2", {"anchor_px": (8.0, 16.0, 32.0, 64.0, 128.0)}, "anchor_px"),
        ("ssdlite_mobilenet_v2", {"channels": 64}, "channels"),
        ("ssdlite_mobilenet_v2", {"head_convs": 1}, "head_convs"),
        ("ssdlite320_mobilenet_v3_large", {"norms": "frozen"}, "norms"),
    ],
)
def test_keys_that_do_not_go_together(name: str, keys: dict[str, object], key: str) -> None:
    assert list(models.params(name)(name=name, **keys).conflicts(1)) == [key]


def test_anchors_of_a_recipe_are_those_of_the_model() -> None:
    model = models.build("fasterrcnn_mobilenet_v3_small", 2, 64, channels=32, anchor_px=(8.0, 16.0, 32.0, 64.0))
    assert model.rpn.anchor_generator.sizes == ((8.0,), (16.0,), (32.0,), (64.0,))


@pytest.mark.parametrize("name", ["retinanet_resnet50_fpn_v2", "fasterrcnn_mobilenet_v3_large_320_fpn", "ssd300_vgg16"])
def test_torchvisions_own_have_its_names_of_weights(name: str) -> None:
    background = name.startswith(("fasterrcnn", "ssd"))
    with torch.device("meta"):
        ours = models.build(name, 3, 320)
        theirs = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=3 + background)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_moments_of_torchvisions_own() -> None:
    family = models.family("ssdlite320_mobilenet_v3_large")
    params = models.params("ssdlite320_mobilenet_v3_large")(name="ssdlite320_mobilenet_v3_large")
    assert family.usual_moments(params) == ((0.5,) * 3, (0.5,) * 3)


def test_the_default_weights_are_those_of_the_trunk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []
    monkeypatch.setattr(hub, "downloaded", lambda url, name, hash_prefix: asked.append(url) or tmp_path)
    found = detectors.published(detectors.Params(name="fcos_resnet18", weights="default"))
    assert asked[0].rpartition("/")[2].startswith("resnet18-")
    assert found.file == tmp_path
