"""Number formats: mixed precision keeps weights in float32; `auto` takes the shortest that the device multiplies."""

from __future__ import annotations

from typing import get_args

import torch

from fewer.machine.precision import PRECISIONS, auto_channels_last, auto_precision, autocast_dtype, weights_dtype
from fewer.recipe.schema import TrainRecipe


def test_mixed_precision_keeps_weights_in_float32() -> None:
    assert {name: (weights_dtype(name), autocast_dtype(name)) for name in PRECISIONS} == {
        "fp32": (torch.float32, None),
        "bf16": (torch.float32, torch.bfloat16),
        "fp16": (torch.float32, torch.float16),
        "fp64": (torch.float64, None),
    }


def test_a_recipe_may_ask_for_every_precision() -> None:
    assert {*PRECISIONS, "auto"} == set(get_args(TrainRecipe.model_fields["precision"].annotation))


def test_auto_is_what_the_device_multiplies_fastest() -> None:
    assert [auto_precision(device, bf16) for device in ("cpu", "cuda") for bf16 in (False, True)] == [
        *("fp32", "bf16", "fp16", "bf16")
    ]


def test_processors_compute_depthwise_convolutions_in_float32() -> None:
    shares = (0.0, 0.16, 0.24, 0.35)  # resnet18, convnext_tiny, shufflenet_v2_x1_0, mobilenet_v2
    assert [auto_precision("cpu", True, share) for share in shares] == ["bf16", "bf16", "fp32", "fp32"]
    assert auto_precision("cuda", True, 0.35) == "bf16"


def test_processors_train_very_narrow_nets_with_their_channels_first() -> None:
    assert auto_channels_last("cpu", "fp32", narrow_strides=False) == "yes"
    assert auto_channels_last("cpu", "bf16", narrow_strides=True) == "no"
    assert auto_channels_last("cuda", "bf16", narrow_strides=True) == "yes"
    assert auto_channels_last("cuda", "fp64", narrow_strides=False) == "no"
