"""States of workers, brought together from all processes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fewer.core.nesting import flattened, nested
from fewer.core.types import State

if TYPE_CHECKING:
    from fewer.core.protocols import Comm


def gathered(states_L: Sequence[State], comm: Comm) -> list[State]:
    """The states of all workers by id; every process must call it, each with equally many workers.

    A process may lack tensors that others have, as an optimizer does that has just begun.

    Args:
        states_L: The states of this process's workers; tensors of one name have one type and shape everywhere.
        comm: The exchange between processes.
    """
    if comm.world_size == 1:
        return list(states_L)
    per_worker = [_gathered(state, comm) for state in states_L]
    return [slot[process] for process in range(comm.world_size) for slot in per_worker]


def gathered_json(mine: Any, comm: Comm) -> list[Any]:
    """What every process has, in their order, as JSON, since processes exchange tensors."""
    import torch

    line = bytearray(json.dumps(mine).encode() + b"\n")
    lines = bytes(comm.gather(torch.frombuffer(line, dtype=torch.uint8)).tolist())
    return [json.loads(each) for each in lines.splitlines()]


def _gathered(state: State, comm: Comm) -> list[State]:
    """The state of one worker of each process."""
    import torch

    tensors, values = flattened(state)
    mine = {path: (str(each.dtype).removeprefix("torch."), list(each.shape)) for path, each in tensors.items()}
    forms_P, values_P = zip(*gathered_json((mine, values), comm), strict=True)
    forms = {path: form for forms in forms_P for path, form in forms.items()}
    parts = {}
    for path, (dtype, shape) in sorted(forms.items()):
        own = tensors[path] if path in tensors else torch.zeros(shape, dtype=getattr(torch, dtype))
        parts[path] = comm.gather(own[None])
    return [
        nested({path: parts[path][process] for path in forms_P[process]}, values_P[process])
        for process in range(comm.world_size)
    ]
