"""A saved state of a chooser, which comes from a file and is not trusted."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from fewer.core.errors import CheckpointError, printable
from fewer.core.table import Table
from fewer.select.packer import Packed
from fewer.select.registry import METHODS

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.types import State
    from fewer.select.epoch import EpochSelection

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
        "samples": "resume with the same data, or start again",
        "method": "build the chooser with the same",
        "labels": "resume with the same data, listed in the same order, or start again",
        "seed": "build the chooser with the same",
    }
    state = {**state, "method": METHODS.canonical(state["method"])}
    for name, fix in fixes.items():
        if state[name] != identity[name]:
            saved, here = printable(str(state[name])), identity[name]
            raise CheckpointError(f"the state is of another data set or chooser: {name} {saved}, here {here}; {fix}")
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


def saved(selection: EpochSelection) -> State:
    """Table, selector, order and observations as a state holds them: a snapshot, in small types."""
    order, observed = selection.order, selection.observations.state_dict()
    return {
        "order": _as(_ORDER, order.samples.state_dict()) if order else {},
        "observed": {**observed, **_as(_ROWS, observed)},
        "table": {name: value.clone() for name, value in selection.table.state_dict().items()},
        "selector": copy.deepcopy(selection.selector.state_dict()),
    }


def load(selection: EpochSelection, state: State) -> None:
    """Puts back what `saved` gave.

    Raises:
        CheckpointError: The selector cannot take its state over.
    """
    samples = {**state["order"], "owner": state["order"]["ids"]} if state["order"] else {}
    whole = {**_as(dict.fromkeys(("ids", "copy", "owner"), torch.int64), samples), "weight": samples.get("weight")}
    sizes = dict.fromkeys(("sizes", "step_sizes"), torch.empty(0, dtype=torch.int64))
    order = {"samples": whole, **sizes, "lr_scale": state["lr_scale"], "share": state["share"]} if samples else {}
    observed = {name: values.double() for name, values in state["observed"].items()}
    try:
        selection.load_state_dict(
            {
                "table": state["table"],
                "selector": copy.deepcopy(state["selector"]),
                "order": order,
                "packer": Packed.empty().state_dict(),
                "packed": 0,
                "observed": observed,
            }
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        raise CheckpointError(
            f"the selector cannot take its state over ({type(error).__name__}: {printable(str(error))}); build the "
            "chooser with the keys that it was saved with"
        ) from error


def _as(dtypes: Mapping[str, torch.dtype], columns: State) -> dict[str, Tensor]:
    return {name: columns[name].to(dtype, copy=True) for name, dtype in dtypes.items() if name in columns}


def remaining(order: Packed, rows: Mapping[str, Tensor]) -> Packed:
    """The samples of an epoch that have not been observed, in its order.

    Args:
        order: The epoch's samples.
        rows: Ids and copy numbers of what has been observed.
    """
    copies = int(order.copy_G.max()) + 1 if len(order) else 1
    counted_R = rows["copy"] >= 0  # but for padding
    done_R = rows["ids"][counted_R] * copies + rows["copy"][counted_R]
    return order.take(~torch.isin(order.ids_G * copies + order.copy_G, done_R))
