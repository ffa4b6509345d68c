"""A classifier's weights as the first of a network that has the classifier's trunk."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models import get_model

from fewer import models
from fewer.core.errors import RecipeError
from fewer.models.matching import clear_new_heads
from fewer.models.pretrained import Weights, read_weights

Tensors = dict[str, Tensor]
SMALL = "lraspp_mobilenet_v2"


def classifier(name: str) -> Tensors:
    torch.manual_seed(3)
    return dict(get_model(name, weights=None).state_dict())


def trunk_alone(tensors: Tensors) -> Tensors:
    """Names as a Sequential of features has them, without a head."""
    return {k.removeprefix("features."): v for k, v in tensors.items() if k.startswith("features.")}


def other_names(tensors: Tensors) -> Tensors:
    """Of a program that calls its layers otherwise; without counts, as old files are."""
    return {f"x{at}": value for at, value in enumerate(v for v in tensors.values() if v.dim())}


def old_names(tensors: Tensors) -> Tensors:
    """Of torchvision before 0.4, whose blocks had one level less; some names are the same."""
    return {re.sub(r"(conv\.\d)\.0\.", r"\1.", name): value for name, value in tensors.items()}


def read(path: Path, tensors: Tensors, name: str, **options: Any) -> tuple[Weights, Any]:
    torch.save(tensors, path / "weights.pt")
    params = models.params(name)(name=name, weights=str(path / "weights.pt"), **options)
    weights = read_weights(params)
    assert weights is not None
    return weights, params


@pytest.mark.parametrize("change", [dict, trunk_alone, other_names, old_names])
@pytest.mark.parametrize("name", [SMALL, "deeplabv3_mobilenet_v2"])
def test_mobilenet_v2_fills_the_backbone(tmp_path: Path, name: str, change: Callable[[Tensors], Tensors]) -> None:
    whole = classifier("mobilenet_v2")
    weights, params = read(tmp_path, change(whole), name)
    net = models.build(name, 5, 64)
    drawn = {key: value.clone() for key, value in net.state_dict().items()}
    found = weights.fitted(params, net, 5)
    assert found.share > 0.9999
    assert found.trunk == "backbone."
    weights.put_into(params, net, 5)
    for key, value in net.state_dict().items():
        if key.startswith("backbone."):
            theirs = whole[f"features.{key.removeprefix('backbone.')}"]
            assert torch.equal(value, theirs) or value.dim() == 0
        else:
            assert torch.equal(value, drawn[key]), "decoder and heads stay as they were drawn"


def test_weights_of_the_whole_network_replace_a_head_of_other_classes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = dict(models.build(SMALL, 5, 64).state_dict())
    weights, params = read(tmp_path, theirs, SMALL)
    net = models.build(SMALL, 3, 64)
    found = weights.fitted(params, net, 3)
    assert not found.trunk
    weights.put_into(params, net, 3)
    assert torch.equal(net.state_dict()["decoder.cbr.0.weight"], theirs["decoder.cbr.0.weight"])
    assert not net.state_dict()["high_head.weight"].any()
    assert not net.state_dict()["low_head.weight"].any()


def test_torchvisions_weights_of_a_whole_network_fit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = get_model("lraspp_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=4)
    weights, params = read(tmp_path, dict(theirs.state_dict()), "lraspp_mobilenet_v3_large")
    net = models.build("lraspp_mobilenet_v3_large", 4, 64)
    assert weights.fitted(params, net, 4).share > 0.9999
    weights.put_into(params, net, 4)
    assert torch.equal(net.state_dict()["low_head.weight"], theirs.classifier.low_classifier.weight)


@pytest.mark.parametrize(("of", "said"), [("resnet101", "deeper"), ("mobilenet_v3_large", "another architecture")])
def test_trunks_of_other_networks_are_refused(tmp_path: Path, of: str, said: str) -> None:
    weights, params = read(tmp_path, classifier(of), "fcn_resnet50")
    with torch.device("meta"):
        net = models.build("fcn_resnet50", 3, 64)
    with pytest.raises(RecipeError, match=said):
        weights.fitted(params, net, 3)


@pytest.mark.parametrize("encoder", ["resnet18", "tu-tf_efficientnet_lite0"])
def test_encoders_of_smp_take_a_classifiers_weights(tmp_path: Path, encoder: str) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    pytest.importorskip("timm")
    name = "timm:tf_efficientnet_lite0" if encoder.startswith("tu-") else "resnet18"
    own = models.build(name, 10, 64).state_dict()
    for tensors in (dict(own), other_names(dict(own))):
        weights, params = read(tmp_path, tensors, "smp:unet", encoder=encoder)
        net = models.build("smp:unet", 3, 64, encoder=encoder)
        assert weights.fitted(params, net, 3).share > 0.9999
        weights.put_into(params, net, 3)
        state = net.state_dict()
        key = "encoder.model.blocks.6.0.conv_pwl.weight" if encoder != "resnet18" else "encoder.layer4.1.conv2.weight"
        assert torch.equal(state[key], own[key.removeprefix("encoder.").removeprefix("model.")])


def test_only_weights_of_a_whole_network_clear_its_heads(tmp_path: Path) -> None:
    """Of a detector or a segmenter whose decoder is drawn as well, a head of zeros would stop the first gradients."""
    net = models.build(SMALL, 5, 64)
    weights, params = read(tmp_path, classifier("mobilenet_v2"), SMALL)
    clear_new_heads(net, weights.fitted(params, net, 5), 5)
    assert net.state_dict()["high_head.weight"].any()
