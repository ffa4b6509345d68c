"""A dry run of a model on images of some side: one forward on the meta device, where nothing is computed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from fewer import models
from fewer.models import stem

if TYPE_CHECKING:
    from torch import nn

    from fewer.core.protocols import Task
    from fewer.models import ModelParams

_USUAL_SIDES_PX = (32, 64, 75, 96, 112, 128, 160, 192, 224, 256, 299, 320, 384, 448, 512)
_VECTOR = 16  # fp32 numbers, with AVX-512
_FAILURES = (RuntimeError, ValueError, AssertionError, TypeError, IndexError, NotImplementedError, ZeroDivisionError)


def take(params: ModelParams, classes: int, sides_px: Sequence[int], task: Task) -> nn.Module:
    """The model on the meta device, after a forward of two images at every side.

    Args:
        params: The keys of `[model]`.
        classes: Number of classes.
        sides_px: All sides of the plan; the model is built for the last of them.
        task: What is learnt: it gives the images, and judges the output.

    Raises:
        ValueError: It cannot be built, or does not take one of the sides; the message says which would do.
    """
    try:
        model = built(params, classes, sides_px[-1])
    except _FAILURES as error:
        if isinstance(error, ValueError) and not _other_sides(params, classes, sides_px[-1], task):
            raise ValueError(_short(error)) from None
        raise _refused(params, classes, sides_px[-1], task, error) from None
    for side_px in reversed(sides_px):
        try:
            _forward(model, side_px, task)
        except _FAILURES as error:
            if side_px != sides_px[-1] and _takes(params, classes, side_px, task):
                raise ValueError(
                    f"is built for images of one side, here {sides_px[-1]} px, and does not take {side_px} px as "
                    f"well; train and evaluate at one side: give side_px and evaluation_side_px = {sides_px[-1]} only"
                ) from None
            raise _refused(params, classes, side_px, task, error) from None
    return model


def reduction(model: nn.Module, side_px: int) -> int:
    """By how much the first layers divide the image's side; 1 where that is unknown."""
    with contextlib.suppress(*_FAILURES):
        return stem.reduction(model, side_px)
    return 1


def depthwise_share(model: nn.Module, side_px: int, task: Task) -> float:
    """The share of what convolutions and linear layers give that comes from depthwise convolutions.

    Half of MobileNetV2's and EfficientNet's numbers, a sixth of ConvNeXt's, none of ResNet's: where it is large, the
    time goes into convolutions that gain nothing from short numbers on a processor.

    Args:
        model: A model on the meta device.
        side_px: Height and width of the images.
        task: What is learnt: it gives the images.
    """
    given = {True: 0, False: 0}  # by whether the layer is depthwise

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        given[getattr(layer, "groups", 1) == getattr(layer, "in_channels", 0) > 1] += output.numel()

    layers = [each for each in model.modules() if isinstance(each, torch.nn.Conv2d | torch.nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        _forward(model, side_px, task)
    finally:
        for hook in hooks:
            hook.remove()
    return given[True] / max(1, sum(given.values()))


def has_narrow_strides(model: nn.Module) -> bool:
    """Whether it has a strided 1x1 convolution of fewer channels than a vector holds, such as a very narrow ResNet's.

    Of these, with channels last, oneDNN writes the gradients of the weights beyond its workspace (up to v3.12 at least;
    uxlfoundation/oneDNN issue 6035): wrong numbers or a crash, on processors with AVX2 and AVX-512.
    """
    return any(
        isinstance(layer, torch.nn.Conv2d)
        and layer.kernel_size == (1, 1)
        and max(layer.stride) > 1
        and layer.in_channels < _VECTOR
        for layer in model.modules()
    )


def drawn(params: ModelParams, classes: int, side_px: int) -> nn.Module:
    """The model on the processor with weights of chance, which take nothing from torch's stream."""
    with torch.random.fork_rng(devices=[]):
        return models.build(params.name, classes, side_px, **params.model_dump(exclude={"name"}))


def built(params: ModelParams, classes: int, side_px: int) -> nn.Module:
    """The model on the meta device, as it is built for images of this side."""
    try:
        with torch.device("meta"):
            return models.build(params.name, classes, side_px, **params.model_dump(exclude={"name"}))
    except NotImplementedError:  # some constructors compute with tensors (regnet)
        return drawn(params, classes, side_px).to("meta")


def _forward(model: nn.Module, side_px: int, task: Task) -> None:
    with torch.no_grad():
        task.dry_run(model, task.dummy_batch(side_px, torch.device("meta"), torch.float32))


def _takes(params: ModelParams, classes: int, side_px: int, task: Task) -> bool:
    try:
        _forward(built(params, classes, side_px), side_px, task)
    except _FAILURES:
        return False
    return True


def _other_sides(params: ModelParams, classes: int, side_px: int, task: Task) -> list[int]:
    """The usual side nearest to the one asked that the model takes; empty if it takes none of them."""
    for other in sorted(_USUAL_SIDES_PX, key=lambda each: abs(each - side_px)):
        if _takes(params, classes, other, task):
            return [other]
    return []


def _refused(params: ModelParams, classes: int, side_px: int, task: Task, error: Exception) -> ValueError:
    others = _other_sides(params, classes, side_px, task)
    fix = f"set side_px = {others[0]} in [[stages]]" if others else "take another model"
    return ValueError(f"does not take images of {side_px} px ({_short(error)}); {fix}")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
