"""Matching of tensors with a network by name and shape."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fewer import models
from fewer.models.matching import heads, load_matched, match
from first_weights import state


def test_what_does_not_fit_is_counted_and_named() -> None:
    model = models.build("resnet18_cifar", 10, 16, width=0.125)
    tensors = {**state(), "conv1.weight": torch.zeros(8, 3, 7, 7), "extra": torch.zeros(2)}
    del tensors["bn1.weight"], tensors["bn1.num_batches_tracked"]
    found = match(model, tensors, 10)
    assert found.missing == ["bn1.weight"]
    assert found.unexpected == ["extra"]
    assert found.reshaped == [("conv1.weight", (8, 3, 7, 7), (8, 3, 3, 3))]
    assert found.suffices
    for part in ("1 missing: bn1.weight", "1 unexpected: extra", "conv1.weight 8x3x7x7 for 8x3x3x3"):
        assert part in found.describe()
    before = model.conv1.weight.clone()
    load_matched(model, found)
    assert torch.equal(model.conv1.weight, before)
    assert torch.equal(model.layer1[0].conv1.weight, tensors["layer1.0.conv1.weight"])


@pytest.mark.parametrize(("name", "key"), [("vit_b_32", "encoder.pos_embedding"), ("timm:vit_tiny_patch16_224", "pos")])
def test_position_embeddings_are_interpolated_to_another_side(name: str, key: str) -> None:
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    with torch.device("meta"):
        smaller, larger = (models.build(name, 5, side) for side in (64, 128))
    theirs = {k: torch.full(v.shape, 0.5) for k, v in larger.state_dict().items()}
    found = match(smaller, models.family(name).adapted(theirs, smaller), 5)
    assert not found.reshaped
    (embedding,) = [value for k, value in found.fitting.items() if k.startswith(key)]
    assert torch.allclose(embedding, torch.tensor(0.5), atol=1e-5)  # a constant stays one


def test_tables_of_relative_positions_are_interpolated_to_other_windows() -> None:
    pytest.importorskip("timm")
    with torch.device("meta"):
        smaller, larger = (models.build("timm:swin_tiny_patch4_window7_224", 5, side) for side in (128, 224))
    theirs = {k: torch.full(v.shape, 0.5) for k, v in larger.state_dict().items()}
    tables = [k for k in theirs if k.endswith("relative_position_bias_table")]
    assert any(theirs[k].shape != smaller.state_dict()[k].shape for k in tables), "else this test could not fail"
    found = match(smaller, models.family("timm:swin_tiny_patch4_window7_224").adapted(theirs, smaller), 5)
    assert not found.reshaped
    assert all(torch.allclose(found.fitting[k], torch.tensor(0.5), atol=1e-5) for k in tables)


def two_layers(classes: int = 3) -> nn.Sequential:
    """A body of 4 x 2 + 4 numbers and a head."""
    return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, classes))


def test_shares_count_numbers_not_tensors_and_leave_the_head_out() -> None:
    model = two_layers()
    found = match(model, {"0.weight": torch.zeros(4, 2), "unknown": torch.zeros(24)}, 3)
    assert found.share == pytest.approx(8 / 12)
    assert found.used == pytest.approx(8 / 32)
    assert not found.suffices, "less than half of the weights are used"
    assert match(model, {"0.weight": torch.zeros(4, 2)}, 3).suffices


def test_a_head_of_other_classes_is_no_misfit() -> None:
    theirs = {name: torch.ones_like(value) for name, value in two_layers(7).state_dict().items()}
    found = match(two_layers(), theirs, 3)
    assert (found.head, found.reshaped, found.missing) == (["2.weight", "2.bias"], [], [])
    assert (found.share, found.used) == (1.0, pytest.approx(12 / (12 + 0)))
    wider = {**theirs, "2.weight": torch.ones(7, 5)}
    assert match(two_layers(), wider, 3).reshaped == [("2.weight", (7, 5), (3, 4))], "other features are a misfit"


def test_the_last_layer_with_an_output_a_class_is_the_head() -> None:
    model = nn.Sequential()
    for name in ("aux_head", "middle", "final"):
        model.add_module(name, nn.Linear(3, 3))
    assert heads(model, 3) == ["aux_head", "final"]
    assert heads(model, 9) == []


def test_weights_take_the_networks_number_format() -> None:
    model = two_layers().double()
    load_matched(model, match(model, {"0.bias": torch.full((4,), 0.5, dtype=torch.float16)}, 3))
    assert model[0].bias.dtype == torch.float64
    assert model[0].bias.tolist() == [0.5] * 4
