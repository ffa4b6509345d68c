"""Losses of segmentation equal those of torch and torchvision where definitions agree, and else a count by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from fewer.core.drawing.palette import VOID
from fewer.tasks.segment.loss import LOSSES, Loss, Setting
from fewer.tasks.segment.pixels import Pixels


def loss_of(name: str, setting: Setting | None = None, **keys: float) -> Loss:
    module = LOSSES.module(name)
    found: Loss = module.build(module.Params(**keys), setting or Setting())
    return found


def scene(seed: int = 0, classes: int = 5, void: float = 0.3) -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, classes, 6, 7, dtype=torch.float64, generator=chance).requires_grad_()
    mask = torch.randint(0, classes, (3, 6, 7), generator=chance)
    mask[torch.rand(3, 6, 7, generator=chance) < void] = VOID
    return logits, mask.to(torch.uint8)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_and_its_gradient_are_torchs(smoothing: float) -> None:
    logits, mask = scene()
    ours = loss_of("cross_entropy", Setting(label_smoothing=smoothing))(Pixels.of(logits, mask))
    theirs = F.cross_entropy(logits, mask.long(), ignore_index=VOID, label_smoothing=smoothing)
    mean = ours.sum_B.sum() / ours.count_B.sum()
    assert torch.allclose(mean, theirs, atol=1e-12)
    assert torch.equal(ours.count_B, (mask != VOID).sum((1, 2)))
    (gradient,) = torch.autograd.grad(mean, logits, retain_graph=True)
    (expected,) = torch.autograd.grad(theirs, logits)
    assert torch.allclose(gradient, expected, atol=1e-12)


def test_class_weights_are_factors_on_pixels() -> None:
    logits, mask = scene()
    weights = (0.5, 1.0, 2.0, 4.0, 0.25)
    ours = loss_of("cross_entropy", Setting(weights))(Pixels.of(logits, mask))
    theirs = F.cross_entropy(
        logits, mask.long(), torch.tensor(weights, dtype=torch.float64), ignore_index=VOID, reduction="none"
    )
    assert torch.allclose(ours.sum_B, theirs.sum((1, 2)), atol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_two_classes_is_torchvisions_of_one_sigmoid(gamma: float) -> None:
    """The softmax of the logits 0 and x is the sigmoid of x."""
    logits, mask = scene(classes=2)
    ours = loss_of("focal", focal_gamma=gamma)(Pixels.of(logits, mask))
    margin = logits[:, 1] - logits[:, 0]
    theirs = sigmoid_focal_loss(margin, (mask == 1).double(), alpha=-1, gamma=gamma)
    expected = (theirs * (mask != VOID)).sum((1, 2))
    assert torch.allclose(ours.sum_B, expected, atol=1e-9)


def test_focal_without_power_is_cross_entropy() -> None:
    logits, mask = scene()
    pixels = Pixels.of(logits, mask)
    weighted = Setting((1.0, 2.0, 3.0, 4.0, 5.0))
    focal, plain = loss_of("focal", weighted, focal_gamma=0.0)(pixels), loss_of("cross_entropy", weighted)(pixels)
    assert torch.allclose(focal.sum_B, plain.sum_B, atol=1e-12)


@given(st.integers(0, 2**16), st.sampled_from([0.0, 0.5, 0.97]))
def test_dice_is_a_count_by_hand(seed: int, void: float) -> None:
    logits, mask = scene(seed, void=void)
    ours = loss_of("dice")(Pixels.of(logits, mask))
    p, label = logits.softmax(1).detach().numpy(), mask.numpy()
    for image in range(len(label)):
        valid = label[image] != VOID
        classes = sorted(set(label[image][valid].tolist()))
        parts = []
        for each in classes:
            is_it = label[image] == each
            overlap, union = p[image, each][is_it].sum(), p[image, each][valid].sum() + is_it.sum()
            parts.append(1 - 2 * overlap / max(1.0, union))
        assert float(ours.sum_B[image].detach()) == pytest.approx(float(np.mean(parts)) if parts else 0.0, abs=1e-9)
        assert int(ours.count_B[image]) == bool(parts)


def test_dice_of_a_sure_prediction_is_0_and_of_a_wrong_one_1() -> None:
    mask = torch.tensor([[[0, 1], [1, VOID]]], dtype=torch.uint8)
    right = 100.0 * F.one_hot(mask.long().clamp(max=1), 2).permute(0, 3, 1, 2).double()
    dice = loss_of("dice")
    assert float(dice(Pixels.of(right, mask)).sum_B) == pytest.approx(0, abs=1e-9)
    assert float(dice(Pixels.of(-right, mask)).sum_B) == pytest.approx(1, abs=1e-9)


def test_both_together_are_their_sum_an_image() -> None:
    logits, mask = scene()
    pixels = Pixels.of(logits, mask)
    both = loss_of("cross_entropy_dice", dice_weight=0.5)(pixels)
    assert torch.allclose(both.sum_B, pixels.mean_nll_B + 0.5 * loss_of("dice")(pixels).sum_B, atol=1e-12)
    assert both.count_B.tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", LOSSES.names())
def test_an_image_that_is_all_void_has_no_loss_and_no_gradient(name: str) -> None:
    logits, mask = scene()
    mask[1] = VOID
    found = loss_of(name)(Pixels.of(logits, mask))
    assert float(found.sum_B[1].detach()) == 0
    assert int(found.count_B[1]) == 0
    found.sum_B.sum().backward()
    assert logits.grad is not None
    assert not logits.grad[1].any()
    assert bool(logits.grad.isfinite().all())
    assert logits.grad[0].any()


@pytest.mark.parametrize("name", LOSSES.names())
def test_half_precision_is_widened(name: str) -> None:
    logits, mask = scene()
    small = logits.detach().bfloat16()
    found = loss_of(name)(Pixels.of(small, mask))
    assert found.sum_B.dtype == torch.float32
    assert torch.allclose(found.sum_B, loss_of(name)(Pixels.of(small.float(), mask)).sum_B)


def test_logits_of_less_resolution_are_interpolated_to_the_mask() -> None:
    logits, mask = scene()
    small = logits[:, :, ::2, ::2]
    wide = F.interpolate(small, size=(6, 7), mode="bilinear", align_corners=False)
    loss = loss_of("cross_entropy")
    assert torch.equal(loss(Pixels.of(small, mask)).sum_B, loss(Pixels.of(wide, mask)).sum_B)
