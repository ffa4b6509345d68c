"""FLOPs of one sample's forward and backward, counted by torch. Needs no torch until it counts.

The net is counted on the "meta" device, where nothing is computed: there torch takes attention and recurrent layers
apart into matrix products, so that a count does not depend on the kernels of a machine. A multiply and an add are two
FLOPs; what is neither a matrix product nor a convolution counts as nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from fewer.core.abilities import ChangesByEpoch
from fewer.core.protocols import Task
from fewer.core.types import At, Batch, Forward

if TYPE_CHECKING:
    from torch import nn

    from fewer.models.cut import Cut


@dataclass(frozen=True, slots=True)
class Flops:
    """FLOPs of one sample from some epoch on, while the set of trained parameters stays the same.

    Attributes:
        from_epoch: The first epoch that they hold for.
        forward, backward: Of one sample.
        frozen_layers: How many layers the stage freezes.
        step: Of one optimizer step's matrix products, for all workers alike; 0 for most optimizers.
    """

    from_epoch: int
    forward: int
    backward: int
    frozen_layers: int = 0
    step: int = 0

    @property
    def training(self) -> int:
        """FLOPs of one sample's forward and backward."""
        return self.forward + self.backward


def sample_flops(task: Task, model: nn.Module, side_px: int) -> tuple[int, int]:
    """FLOPs of one sample's forward and backward, counted by torch on the task's dummy batch of two.

    What is frozen costs no gradient of its weights, and a frozen beginning no backward at all.

    Args:
        task: What is learnt: its loss is what the backward begins with.
        model: A model on any device; a copy on "meta" is counted.
        side_px: Height and width of the image.
    """
    import torch

    weight = next(model.parameters())
    if weight.device.type != "meta":
        model = copy.deepcopy(model).to("meta")
    return _counted(task, model, model, task.dummy_batch(side_px, torch.device("meta"), weight.dtype))


def rest_flops(task: Task, model: nn.Module, cut: Cut, frozen: Collection[str]) -> Flops:
    """FLOPs of one sample's forward and backward behind a cut, where the rest of the net is given features.

    Args:
        task: What is learnt.
        model: The net, on "meta".
        cut: Where it is cut.
        frozen: Its frozen layers, of which a few may lie behind the cut; the net is left with nothing frozen.
    """
    import torch

    from fewer.models.freezing import set_trained

    weight = next(model.parameters())
    batch = task.dummy_batch(1, weight.device, weight.dtype)
    features = torch.empty(len(batch), *cut.features, device=weight.device, dtype=weight.dtype)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    set_trained(model, trained, 0, frozen)
    found = Flops(0, *_counted(task, model, cut.rest(model), replace(batch, inputs=features)))
    for parameter in trained:
        parameter.requires_grad_(True)
    return found


def _counted(task: Task, model: nn.Module, forward_of: Forward, batch: Batch) -> tuple[int, int]:
    """FLOPs of one sample's forward and backward, all on "meta"."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    mended = {torch.ops.aten.convolution_backward: _convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=mended) as forward:
        loss = task.outcome(forward_of, batch, At(0, 1, 0.0)).loss_sum_B.sum()
    with FlopCounterMode(display=False, custom_mapping=mended) as backward:
        loss.backward()
    for parameter in model.parameters():
        parameter.grad = None
    return forward.get_total_flops() // len(batch), backward.get_total_flops() // len(batch)


def _convolution_backward(
    output_shape: Sequence[int],
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    bias: object,
    stride: object,
    padding: object,
    dilation: object,
    transposed: bool,
    output_padding: object,
    groups: object,
    output_mask: Sequence[bool],
    **_: Any,
) -> int:
    """FLOPs of a convolution's gradients, called by torch's counter with the arguments of `convolution_backward`.

    torch's own formula multiplies all channels for the gradient of the weights, whatever the groups: 15 times too much
    for MobileNets. Each gradient takes as many products as the forward: the weights, (out, in / groups, height, width)
    or transposed (in, out / groups, height, width), once at every place of the output, or transposed of the input.
    """
    places = (input_shape if transposed else output_shape)[2:]
    forward = 2 * input_shape[0] * prod(places) * prod(weight_shape)
    of_input, of_weight, _of_bias = output_mask
    return forward * (of_input + of_weight)


def flops_by_epoch(
    task: Task,
    model: nn.Module,
    side_px: int,
    epochs: int,
    layers: Sequence[str] = (),
    frozen: Collection[int] = (0,),
    step_flops: Callable[[nn.Module], int] = lambda model: 0,
) -> tuple[Flops, ...]:
    """FLOPs of one sample from epoch 0 on, and from each epoch at which the net itself freezes something.

    Args:
        task: What is learnt.
        model: The net, of which all is trained that may be; it is left so.
        side_px: Height and width of the image.
        epochs: All epochs of the run.
        layers: Its layers in the order in which they run.
        frozen: For stages that freeze so many of them.
        step_flops: What an optimizer step takes for the parameters that are trained.
    """
    from fewer.models.freezing import set_trained

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    changes = model.changes_at if isinstance(model, ChangesByEpoch) else []
    found = []
    for count in sorted(frozen):
        for epoch in (0, *(epoch for epoch in changes if 0 < epoch < epochs)):
            set_trained(model, trained, epoch, layers[:count])
            found.append(Flops(epoch, *sample_flops(task, model, side_px), count, step_flops(model)))
    for parameter in trained:
        parameter.requires_grad_(True)
    return tuple(found)


def unfrozen_flops(task: Task, model: nn.Module, side_px: int) -> int:
    """FLOPs of one sample's forward and backward with nothing frozen; leaves the model so."""
    return sum(sample_flops(task, model.requires_grad_(True), side_px))
