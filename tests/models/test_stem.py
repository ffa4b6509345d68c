"""First layers for small images."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fewer import models
from fewer.models.dry_run import take
from fewer.models.stem import reduction, small_stem
from fewer.plan.flops import sample_flops
from fewer.recipe.parse import parse_recipe
from fewer.session.build import make_plan, open_data
from fewer.tasks.classify.task import Classify

TASK = Classify(list("abcde"))


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("resnet18", 4, 2), ("squeezenet1_1", 4, 1), ("convnext_tiny", 4, 2)],
)
def test_a_small_stem_reduces_small_images_less(name: str, before: int, after: int) -> None:
    """The next stage's stride is what is left: two for nets whose second stage strides by a convolution."""
    own, small = (take(models.params(name)(name=name, stem=stem), 5, [32], TASK) for stem in ("own", "small"))
    assert (reduction(own, 32), reduction(small, 32)) == (before, after)
    assert sample_flops(TASK, small, 32)[0] > 3 * sample_flops(TASK, own, 32)[0]


def test_the_small_stem_of_resnet18_is_that_of_the_cifar_net() -> None:
    """Same names, shapes and logits as the net that was made for CIFAR."""
    small = models.build("resnet18", 10, 32, stem="small").eval()
    cifar = models.build("resnet18_cifar", 10, 32).eval()
    cifar.load_state_dict(small.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(small(images), cifar(images))
    variance = small.conv1.weight.var().item()
    assert variance == pytest.approx(2 / (64 * 9), rel=0.15)  # He's, for a 3x3 kernel


def test_a_coarse_stem_on_small_images_is_noted() -> None:
    notes = []
    for stem in ("own", "small"):
        content = {"data": {"source": "digits"}, "model": {"name": "resnet18", "stem": stem}}
        recipe = parse_recipe(content)
        notes.append([note for note in make_plan(recipe, open_data(recipe)).notes if "first layers" in note])
    assert notes == [
        ['the first layers of "resnet18" leave 8 px of images of 32 px; model.stem = "small" keeps more'],
        [],
    ]


def test_the_reduction_is_that_of_the_first_stride_and_a_pooling_right_behind_it() -> None:
    def conv(stride: int, kernel: int = 3) -> nn.Conv2d:
        return nn.Conv2d(3, 3, kernel, stride, padding=kernel // 2)

    pool, head = nn.MaxPool2d(3, 3), nn.AdaptiveAvgPool2d(1)
    assert reduction(nn.Sequential(conv(1), conv(2), pool, head), 32) == 6
    assert reduction(nn.Sequential(conv(2), conv(1), pool, head), 32) == 6
    assert reduction(nn.Sequential(conv(2), conv(2), pool, head), 32) == 2, "the next to reduce is no pooling"
    assert reduction(nn.Sequential(pool, conv(2), head), 32) == 1, "no stem to adapt"
    assert reduction(nn.Sequential(conv(1), head), 32) == 1


def test_a_smaller_kernel_is_the_centre_scaled_to_keep_the_variance() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 7, stride=2, padding=3, bias=False), nn.AdaptiveAvgPool2d(1))
    model[0].weight.data = torch.arange(49.0).reshape(1, 1, 7, 7)
    small = small_stem(nn.Sequential(nn.Conv2d(3, 1, 1), *model), 32)
    expected = torch.tensor([[16.0, 17.0, 18.0], [23.0, 24.0, 25.0], [30.0, 31.0, 32.0]]) * 7 / 3
    assert torch.allclose(small[1].weight[0, 0], expected)
    assert (small[1].stride, small[1].kernel_size, small[1].padding) == ((1, 1), (3, 3), (1, 1))
    assert reduction(small, 32) == 1
