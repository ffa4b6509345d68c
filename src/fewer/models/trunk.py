"""Weights of a classifier's trunk, put into a network that has it as a part: a backbone, an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fewer.models.weight_names import unwrapped

if TYPE_CHECKING:
    from torch import Tensor, nn


def into_trunk(tensors: dict[str, Tensor], model: nn.Module, trunk: str, unused: Sequence[str]) -> dict[str, Tensor]:
    """A classifier's weights under the names that they have in a network's trunk.

    They are known by their names, whatever stands before these in the file, or else by their shapes, in order: layers
    may have been called otherwise once.

    Args:
        tensors: The weights by name, in the file's order.
        model: The network, which may be on the meta device.
        trunk: What its trunk's names begin with, such as `backbone.`.
        unused: Beginnings of names that a classifier has and the trunk lacks: its head. They are left out.

    Returns:
        The weights as they are, where they are the network's own or no such trunk's.
    """
    state = model.state_dict()
    if any(name in state for name in tensors):
        return tensors
    ours = {name.removeprefix(trunk): tensor for name, tensor in state.items() if name.startswith(trunk)}
    _, theirs = unwrapped(tensors, ours)
    is_whole = all(name in theirs for name, tensor in ours.items() if tensor.dim())
    if not is_whole and (found := _in_order(tensors, ours, trunk)):
        return found
    if not ours.keys() & theirs.keys():
        return tensors
    left_out = tuple(unused)
    return {f"{trunk}{name}": each for name, each in theirs.items() if name in ours or not name.startswith(left_out)}


def _in_order(tensors: Mapping[str, Tensor], ours: Mapping[str, Tensor], trunk: str) -> dict[str, Tensor]:
    """The first of the weights by the trunk's names, where all its shapes agree; else none."""
    counts = any(tensor.dim() == 0 for tensor in tensors.values())  # of BatchNorm's batches, which old files lack
    names = [name for name, tensor in ours.items() if counts or tensor.dim()]
    if len(tensors) < len(names):
        return {}
    found = dict(zip(names, tensors.values(), strict=False))
    return {f"{trunk}{name}": each for name, each in found.items()} if _same_shapes(found, ours) else {}


def _same_shapes(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    return all(others[name].shape == tensor.shape for name, tensor in some.items())
