"""A normalised head: cosines by hand, and the layer that it replaces."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fewer.models.cosine_head import NormalizedLinear, normalize_head


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
