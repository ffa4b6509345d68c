"""Batch statistics over the samples of all processes: BatchNorm layers that exchange theirs, on any device.

A batch that is cut among P processes is normalised as one process would normalise the whole of it. Every layer sends
its count, sums and sums of squares in the forward, and two sums of gradients in the backward (Zhang et al. 2018,
"Context Encoding for Semantic Segmentation", section 3). Letters: C are the channels of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Self, final

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from fewer.sync.comm import SingleProcess

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.protocols import Comm


@final
class SharedStatistics:
    """What the BatchNorm layers of a model exchange by.

    Args:
        comm: The exchange between processes.
    """

    def __init__(self, comm: Comm) -> None:
        self.comm, self._counts = comm, True

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copied model is looked at by one process, or by each on its own: it exchanges nothing."""
        return type(self)(SingleProcess())

    @property
    def counts(self) -> bool:
        """Whether the samples of a forward are part of the batch."""
        return self._counts

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        """Forwards and backwards inside take part in every exchange and add nothing: for a process without samples."""
        self._counts = False
        try:
            yield
        finally:
            self._counts = True


def share_statistics(model: nn.Module, comm: Comm, is_compiled: bool = False) -> None:
    """Makes the BatchNorm layers of a model exchange their statistics while they train.

    Names in its state dict stay, and so do layers in eval mode. All processes have to run the same forwards.

    Args:
        model: The model, which is changed.
        comm: The exchange between processes.
        is_compiled: torch.compile will see the model; it leaves these layers as they are.
    """
    shared = SharedStatistics(comm)
    for layer in model.modules():
        if isinstance(layer, _BatchNorm) and not isinstance(layer, nn.SyncBatchNorm):
            changed: Any = layer
            kind: Any = type(layer)
            changed.__class__ = _sharing(kind, is_compiled)
            changed.shared_statistics = shared


def shared_statistics(model: nn.Module) -> SharedStatistics | None:
    """What the BatchNorm layers of a model exchange by; None where each process normalises by its own samples."""
    layers = (module.shared_statistics for module in model.modules() if isinstance(module, _Sharing))
    return next((shared for shared in layers if shared.comm.world_size > 1), None)


def are_shared(layer: nn.Module) -> bool:
    """Whether a layer's running statistics are those of the batches of all processes."""
    return isinstance(layer, _Sharing) and layer.shared_statistics.comm.world_size > 1


class _Sharing(nn.Module):
    """A layer's forward, in which the normalisation itself is that of the whole batch."""

    shared_statistics: SharedStatistics

    def forward(self, *arguments: Any) -> Any:
        shared = self.shared_statistics
        if not self.training or shared.comm.world_size == 1:
            return super().forward(*arguments)
        with _Normalising(shared):  # some libraries' layers do more than normalise
            return super().forward(*arguments)


@cache
def _sharing(layer_type: Any, is_compiled: bool) -> Any:
    # Asked for only where needed: the compiler takes seconds to be imported.
    forward = torch.compiler.disable(_Sharing.forward) if is_compiled else _Sharing.forward
    return type(layer_type.__name__, (_Sharing, layer_type), {"forward": forward})


class _Normalising(TorchFunctionMode):
    """Puts the statistics of all processes into calls of `torch.nn.functional.batch_norm`."""

    def __init__(self, shared: SharedStatistics) -> None:
        super().__init__()
        self.shared = shared

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        call = self._batch_norm if func is functional.batch_norm else func
        return call(*args, **(kwargs or {}))

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Arguments as for `torch.nn.functional.batch_norm`, in training."""
        wide = torch.float64 if input.dtype == torch.float64 else torch.float32
        weight = input.new_ones(input.shape[1], dtype=wide) if weight is None else weight
        bias = torch.zeros_like(weight) if bias is None else bias
        output, mean_C, var_C, count = _Normalise.apply(input, weight, bias, eps, self.shared)
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean_C.to(running_mean), momentum)
            running_var.lerp_((var_C * (count / (count - 1))).to(running_var), momentum)
        found: Tensor = output
        return found


class _Normalise(torch.autograd.Function):
    """Normalisation by the mean and variance of all processes' samples, with its gradient."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor, bias: Tensor, eps: float, shared: SharedStatistics
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean_C, var_C, count = _statistics(input, shared)
        mean, var = mean_C.to(weight), var_C.to(weight)
        output = torch.native_batch_norm(input, weight, bias, mean, var, False, 0.0, eps)[0]
        ctx.save_for_backward(input, weight, mean, var, count)
        ctx.eps, ctx.shared, ctx.counts = eps, shared, shared.counts
        ctx.mark_non_differentiable(mean_C, var_C, count)
        return output, mean_C, var_C, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        input, weight, mean_C, var_C, count = ctx.saved_tensors
        # Of fixed statistics; what moves with these follows.
        moved, weight_C, bias_C = torch.ops.aten.native_batch_norm_backward(
            gradient, input, weight, mean_C, var_C, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.cat([bias_C, weight_C]).double()
        if not ctx.counts:
            sums.zero_()
        ctx.shared.comm.all_reduce(sums)
        if not ctx.needs_input_grad[0]:
            return None, weight_C, bias_C, None, None
        if not ctx.counts:
            return torch.zeros_like(input), weight_C, bias_C, None, None
        bias_sum_C, weight_sum_C = sums.chunk(2)
        inverse_C = (var_C.double() + ctx.eps).rsqrt()
        factor_C = weight.double() * inverse_C / count
        slope_C = factor_C * weight_sum_C * inverse_C
        offset_C = factor_C * bias_sum_C - slope_C * mean_C.double()
        slope, offset = (each.to(weight).view(1, -1, *[1] * (input.dim() - 2)) for each in (slope_C, offset_C))
        return (moved - (input * slope + offset)).to(input.dtype), weight_C, bias_C, None, None


def _statistics(input: Tensor, shared: SharedStatistics) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance of each channel, and how many numbers of a channel they are of, over all processes."""
    wide = torch.float64 if input.dtype == torch.float64 else torch.float32
    unused_C = input.new_zeros(input.shape[1], dtype=wide)  # its type is that of the sums
    mean_C, var_C = (each.double() for each in torch.batch_norm_update_stats(input, unused_C, unused_C.clone(), 0.0))
    # Sums of squares in float64 lose nothing of a variance that was computed in float32.
    count = input.numel() / input.shape[1]
    sums = torch.cat([mean_C.new_ones(1), mean_C, var_C + mean_C**2]) * (count if shared.counts else 0.0)
    shared.comm.all_reduce(sums)
    total = sums[0]
    mean_C, square_C = (sums[1:] / total).chunk(2)
    return mean_C, (square_C - mean_C**2).clamp_min(0.0), total
