"""A saved state of a chooser, which comes from a file and is not trusted."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from fewer.core.errors import CheckpointError, printable
from fewer.core.table import Table
from fewer.select.packer import Packed

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.protocols import Selector
    from fewer.core.types import State

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
    "observed": dict,
    "table": dict,
    "selector": dict,
}
_ORDER = {"ids": torch.int32, "copy": torch.int16, "weight": torch.float64}
_ROWS = {
    "ids": torch.int32,
    "copy": torch.int16,
    "counts": torch.bool,
    "loss": torch.float32,
    "score": torch.float32,
    "right": torch.bool,
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
    dtypes = {name: column.dtype for name, column in Table(1).state_dict().items()}
    _require_columns("table", state["table"], dtypes, samples)
    if state["order"]:
        _require_columns("order", state["order"], _ORDER, len(state["order"].get("ids", ())))
        _require_columns("observed", state["observed"], _ROWS, len(state["observed"].get("ids", ())))
    for group in ("order", "observed"):
        ids = state[group].get("ids", ())
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < samples:
            raise CheckpointError(f"the chooser's state is damaged: {group} names samples that do not exist")


def _require_columns(group: str, columns: State, dtypes: dict[str, torch.dtype], length: int) -> None:
    for name, dtype in dtypes.items():
        found = columns.get(name)
        if not isinstance(found, torch.Tensor) or found.dtype != dtype or found.shape != (length,):
            text = f'the chooser\'s state is damaged: "{name}" of its {group} is missing or of another shape'
            raise CheckpointError(f"{text}; go back to an earlier checkpoint")


def load_selector(selector: Selector, state: State) -> None:
    """Gives a selector its state back.

    Raises:
        CheckpointError: It cannot take it over.
    """
    try:
        selector.load_state_dict(copy.deepcopy(state))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        raise CheckpointError(
            f"the selector cannot take its state over ({type(error).__name__}: {printable(str(error))}); build the "
            "chooser with the keys that it was saved with"
        ) from error


def saved_order(order: Packed) -> dict[str, Tensor]:
    """An epoch's samples as a state holds them."""
    columns = (order.ids_G, order.copy_G, order.weight_G)
    return {name: column.to(_ORDER[name], copy=True) for name, column in zip(_ORDER, columns, strict=True)}


def loaded_order(saved: dict[str, Tensor]) -> Packed:
    ids_G, copy_G = saved["ids"].long(), saved["copy"].long()
    return Packed(ids_G, saved["weight"].clone(), copy_G, torch.zeros_like(ids_G))


def saved_rows(rows_R: Tensor) -> dict[str, Tensor]:
    """What has been observed as a state holds it: losses and scores as the table takes them."""
    return {name: column.to(_ROWS[name]) for name, column in zip(_ROWS, rows_R.unbind(1), strict=True)}


def loaded_rows(saved: dict[str, Tensor]) -> Tensor:
    return torch.stack([saved[name].double() for name in _ROWS], dim=1)


def remaining(order: Packed, observed_R: Tensor) -> Packed:
    """What of an epoch has not been observed, in its order."""
    copies = int(order.copy_G.max()) + 1 if len(order) else 1
    observed_R = observed_R[observed_R[:, 1] >= 0]  # but for padding
    done_R = observed_R[:, 0].long() * copies + observed_R[:, 1].long()
    return order.take(~torch.isin(order.ids_G * copies + order.copy_G, done_R))
