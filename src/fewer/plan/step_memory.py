"""Memory of a training step, counted by torch: what weights take, and what each image adds at the highest point.

A forward and a backward run on the "meta" device, where nothing is computed or allocated: each tensor that an operation
makes counts from then on until torch drops it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fewer.core.types import At

if TYPE_CHECKING:
    from torch import nn

    from fewer.core.protocols import Task
    from fewer.core.types import Batch

_FEW, _MORE = 2048, 4096  # images of the two steps that are counted: they outweigh the gradients of weights
_INPUTS = 3  # copies of an image: as it was loaded, as it is mixed, and as the next batch has it
_CHANNELS, _FLOAT_BYTES = 3, 4


@dataclass(frozen=True, slots=True)
class StepMemory:
    """What a step takes in one process, in bytes of float32.

    Attributes:
        weight_bytes: The weights, once.
        image_bytes: What each image of a forward adds at the step's highest point.
    """

    weight_bytes: int
    image_bytes: int


def step_memory(task: Task, model: nn.Module, side_px: int) -> StepMemory:
    """Counts a step of the whole model, nothing frozen.

    Args:
        task: What is learnt: it gives the images, and the loss that the backward begins with.
        model: The net, on "meta".
        side_px: Height and width of the images.
    """
    two = task.dummy_batch(side_px, torch.device("meta"), torch.float32)
    few, more = (_most_bytes(task, model, two.take(torch.arange(images) % 2)) for images in (_FEW, _MORE))
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    inputs = _INPUTS * _CHANNELS * side_px**2 * _FLOAT_BYTES
    return StepMemory(weights, (more - few) // (_MORE - _FEW) + inputs)


def _most_bytes(task: Task, model: nn.Module, batch: Batch) -> int:
    """The most that a forward and backward hold at once, without what was there before."""
    held = _Held()
    with held:
        task.outcome(model, batch, At(0, 1, 0.0)).loss_sum_B.sum().backward()
    for parameter in model.parameters():
        parameter.grad = None
    return held.most


class _Held(TorchDispatchMode):
    """A count of the bytes of all tensors that operations have made, for as long as torch holds them.

    Attributes:
        most: The most so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most: int = 0
        self._now = 0
        self._known = weakref.WeakSet[torch.UntypedStorage]()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = [each.untyped_storage()._cdata for each in _tensors((args, kwargs))]
        made = func(*args, **(kwargs or {}))
        for storage in (each.untyped_storage() for each in _tensors(made)):
            if storage not in self._known and storage._cdata not in given:  # else a view, or changed in place
                self._known.add(storage)
                self._now += storage.nbytes()
                weakref.finalize(storage, self._drop, storage.nbytes())
        self.most = max(self.most, self._now)
        return made

    def _drop(self, size: int) -> None:
        self._now -= size


def _tensors(values: Any) -> list[torch.Tensor]:
    return [each for each in tree_leaves(values) if isinstance(each, torch.Tensor)]
