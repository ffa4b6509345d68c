"""A saved state of a chooser, which comes from a file and is not trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from fewer.errors import CheckpointError, printable
from fewer.select.packer import Packed
from fewer.select.table import Table

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.parts import State

_KINDS: dict[str, Any] = {
    "method": str,
    "samples": int,
    "labels": str,
    "seed": int,
    "epoch": int,
    "share": (float, int, type(None)),
    "lr_scale": (float, int),
    "spent": dict,
    "order": dict,
    "observed": torch.Tensor,
    "table": dict,
    "selector": dict,
}


def checked(state: State, identity: State) -> State:
    """The state, if it is whole and belongs to this method and data set.

    Args:
        state: What was loaded.
        identity: What it must say of method, data set and seed.

    Raises:
        CheckpointError: Otherwise.
    """
    if not isinstance(state, dict):
        raise CheckpointError(f"a chooser's state is a dict, not {type(state).__name__}; load what state_dict() gave")
    wrong = [name for name, kind in _KINDS.items() if not isinstance(state.get(name), kind) or name not in state]
    if wrong:
        raise CheckpointError(f"the chooser's state is damaged: {', '.join(wrong)} missing or of another kind")
    fixes = {
        "samples": "resume with the same data, or begin anew",
        "method": "build the chooser with the same",
        "labels": "resume with the same data, listed in the same order, or begin anew",
        "seed": "build the chooser with the same",
    }
    for name, fix in fixes.items():
        if state[name] != identity[name]:
            told, here = printable(str(state[name])), identity[name]
            raise CheckpointError(f"the state is of another data set or chooser: {name} {told}, here {here}; {fix}")
    _require_shapes(state, identity["samples"])
    return state


def _require_shapes(state: State, samples: int) -> None:
    for name, column in Table(samples).state_dict().items():
        found = state["table"].get(name)
        if not isinstance(found, torch.Tensor) or found.shape != column.shape or found.dtype != column.dtype:
            raise CheckpointError(f'the chooser\'s state is damaged: "{name}" of its table is not one value a sample')
    names = Packed.empty().state_dict()
    order = [state["order"].get(name) for name in names] if state["order"] else []
    if any(not isinstance(column, torch.Tensor) or len(column) != len(order[0]) for column in order):
        raise CheckpointError("the chooser's state is damaged: its order is incomplete")
    if order and len(order[0]) and not 0 <= int(order[0].min()) <= int(order[0].max()) < samples:
        raise CheckpointError("the chooser's state is damaged: its order names samples that do not exist")


def remaining(order: Packed, observed_R: Tensor) -> Packed:
    """What of an epoch has not been observed, in its order."""
    copies = int(order.copy_G.max()) + 1 if len(order) else 1
    observed_R = observed_R[observed_R[:, 1] >= 0]  # but for padding
    done_R = observed_R[:, 0].long() * copies + observed_R[:, 1].long()
    return order.take(~torch.isin(order.ids_G * copies + order.copy_G, done_R))
