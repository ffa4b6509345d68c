"""Comparisons of the conformance kit of tasks: values up to rounding, batches of either kind, JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from fewer.core import ragged
from fewer.core.ragged import Ragged, Values
from fewer.testing.violation import Violation, require

if TYPE_CHECKING:
    from torch import Tensor

_RTOL, _ATOL = 1e-4, 1e-5  # batches of other sizes are summed in another order


def near(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=_RTOL, atol=_ATOL)


def equal(one: Values, other: Values) -> bool:
    """Whether values of two batches are the same, of the same kind."""
    if not isinstance(one, Ragged) or not isinstance(other, Ragged):
        return isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) and torch.equal(one, other)
    return len(one) == len(other) and all(map(same_sample, one, other))


def same_sample(one: ragged.Sample, other: ragged.Sample) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    return not isinstance(one, dict) and not isinstance(other, dict) and torch.equal(one, other)


def alike(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same but for rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_RTOL, abs_tol=_ATOL)
    return bool(one == other)


def require_share(what: str, values: Tensor) -> None:
    inside = bool(((values >= 0) & (values <= 1)).all())
    low, high = float(values.min()), float(values.max())
    require(inside, f"{what} lies in [0, 1]", f"it lies in [{low:g}, {high:g}]; or is_share=False")


def require_json(what: str, value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Violation(f"broken: {what}: JSON can hold it; {error}: use int(...), float(...), tolist()") from None


@contextmanager
def trying(call: str) -> Iterator[None]:
    try:
        yield
    except Violation:
        raise
    except Exception as error:
        raise Violation(f"{call} raised {type(error).__name__}: {error}") from error
