"""The keys that all local methods have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from fewer.core.config import Count, Section
from fewer.core.registry import Registry
from fewer.sync.payloads import PAYLOADS
from fewer.sync.schedules import STEP_SCHEDULES


class LocalParams(Section):
    """Keys of methods whose workers take several steps between two syncs."""

    named_parts: ClassVar[Mapping[str, Registry]] = {"schedule": STEP_SCHEDULES, "payload": PAYLOADS}

    every_steps: Count = 16
    """Local steps between two syncs, H: of every round, or where a schedule changes it, of the first ones."""
    schedule: str = "fixed"
    """How the number of local steps changes during the run; brings keys of its own."""
    payload: str = "full"
    """In which form workers send their weights; brings keys of its own."""
    inner_state: Literal["kept", "averaged", "reset"] = "kept"
    """What becomes of the state of the workers' optimizers at a sync, such as momentum: each worker keeps its own, all
    take the mean, which sends as much again for each number a weight has, or it starts anew."""
    on_nonfinite: Literal["stop", "exclude"] = "stop"
    """What becomes of a worker whose loss or weights are no longer finite: the run ends, or that worker is left out of
    the next sync, takes the mean of the others, and its optimizer starts anew."""
