"""A normalised head: cosines by hand, and the layer that it replaces."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fewer import models
from fewer.core import rng
from fewer.models.cosine_head import NormalizedLinear, normalize_head
from fewer.plan.flops import sample_flops
from fewer.tasks.classify.task import Classify


def test_logits_are_cosines_times_the_scale() -> None:
    head = NormalizedLinear(2, 2, scale=10.0)
    head.weight.data = torch.tensor([[3.0, 0.0], [0.0, 0.5]])  # lengths do not matter
    logits = head(torch.tensor([[4.0, 3.0], [0.0, -7.0]]))
    assert torch.allclose(logits, torch.tensor([[8.0, 6.0], [0.0, -10.0]]), atol=1e-6)


def test_half_precision_around_it_does_not_round_the_logits() -> None:
    head = NormalizedLinear(64, 5, scale=30.0)
    features = torch.randn(8, 64)
    with torch.autocast("cpu", torch.bfloat16):
        inside = head(features)
    assert torch.equal(inside, head(features))
    assert head(features.bfloat16()).dtype == torch.float32


def test_the_last_linear_layer_is_replaced_and_the_rest_kept() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    body = model[0].weight
    changed = normalize_head(model, 3, 16.0)
    assert isinstance(changed[2], NormalizedLinear)
    assert (changed[2].in_features, changed[2].out_features, changed[2].scale) == (6, 3, 16.0)
    assert changed[0].weight is body
    assert torch.allclose(changed[2].weight.norm(dim=1), torch.ones(3))


def test_a_network_without_such_a_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r'model\.head = "linear"'):
        normalize_head(nn.Sequential(nn.Conv2d(3, 3, 1)), 3, 16.0)


def test_logits_are_scaled_cosines() -> None:
    head = NormalizedLinear(5, 3, scale=30.0).double()
    x = torch.randn(4, 5, dtype=torch.float64)
    cosines = torch.stack([F.cosine_similarity(x, row[None]) for row in head.weight], dim=1)
    assert torch.allclose(head(x), 30 * cosines, atol=1e-12)
    assert torch.allclose(head(7 * x), head(x))
    assert torch.allclose(NormalizedLinear(5, 3, 1.0).weight.norm(dim=1), torch.ones(3))


def test_the_head_is_computed_in_full_precision_whatever_is_around_it() -> None:
    head, x = NormalizedLinear(64, 5, 30.0), torch.randn(8, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head(x), head.float()(x))
    assert head(x.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(
    "name", ["lenet5", "cnn", "resnet18_cifar", "resnet18", "mobilenet_v3_small", "vit_b_16", "timm:resnet10t"]
)
def test_any_family_takes_a_normalised_head(name: str) -> None:
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    plain_bias = {"cnn": 0}.get(name, 7)
    with torch.device("meta"):
        plain = models.build(name, 7, 32)
        ours = models.build(name, 7, 32, head="normalized", head_scale=8.0)
    (head,) = [layer for layer in ours.modules() if isinstance(layer, NormalizedLinear)]
    assert head.scale == 8.0
    assert ours(torch.empty(2, 3, 32, 32, device="meta")).shape == (2, 7)
    parameters, others = (sum(p.numel() for p in model.parameters()) for model in (ours, plain))
    assert parameters == others - plain_bias
    task = Classify(list("abcdefg"))
    assert sample_flops(task, ours, 32) == sample_flops(task, plain, 32)


def test_the_logits_of_a_whole_model_are_bounded_by_the_scale() -> None:
    rng.reseed(0, "model")
    for name in ("cnn", "lenet5"):
        model = models.build(name, 4, 32, width=0.2, head="normalized")
        logits = model(torch.randn(16, 3, 32, 32))
        assert logits.abs().max() <= 30.0001
        assert logits.std() > 0.5, "no other factor on the logits"


def test_a_head_that_is_a_convolution_is_refused() -> None:
    with pytest.raises(ValueError, match="no linear layer at its end"):
        models.build("squeezenet1_0", 7, 64, head="normalized")
