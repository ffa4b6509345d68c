"""Promises of a selector that the conformance kit checks often: types of ids and weights, tables left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from fewer.core.observation import Observed
from fewer.core.table import Table
from fewer.core.types import Selection
from fewer.testing.scenes import Scene
from fewer.testing.violation import Violation, require
from fewer.training.run import state_digest

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Promises:
    """Checks in a scene.

    Attributes:
        scene: The training set.
        where: The place that messages name.
    """

    scene: Scene
    where: str = field(default="", kw_only=True)

    def check_ids(self, name: str, ids: Tensor) -> None:
        found = getattr(ids, "dtype", type(ids).__name__)
        self.require(found == torch.int64, f"{name}: ids are int64", f"they are {found}; use ids.long()")
        self.require(ids.dim() == 1, f"{name}: ids have one dimension", f"their shape is {tuple(ids.shape)}")
        self.require(
            ids.device.type == "cpu", f"{name}: ids are on the CPU", f"they are on {ids.device}; use ids.cpu()"
        )
        other = ids[~torch.isin(ids, self.scene.pool)]
        self.require(
            not len(other),
            f"{name}: samples of the pool only",
            f"{other[:3].tolist()} are not; positions in the pool are no ids: use pool_ids[...], or what table.seen_N "
            "knows",
        )

    def check_weights(self, name: str, weight: Tensor, ids: Tensor) -> None:
        self.require(
            weight.shape == ids.shape and weight.dtype == torch.float64,
            f"{name}: one weight a sample, float64",
            f"they are {weight.dtype} of shape {tuple(weight.shape)} for {len(ids)} samples",
        )
        self.require(
            bool(torch.isfinite(weight).all() and (weight >= 0).all()),
            f"{name}: weights are finite and not negative",
            f"they lie between {float(weight.min()):g} and {float(weight.max()):g}; clip them"
            if len(weight)
            else "there are none",
        )

    def require(self, condition: bool, promise: str, fix: str) -> None:
        require(condition, f"{self.where}: {promise}", fix)

    @contextmanager
    def trying(self, call: str) -> Iterator[None]:
        try:
            yield
        except Violation:
            raise
        except Exception as error:
            raised = f"{type(error).__name__}: {error}"
            fix = "what was never seen has a NaN loss and score, and any pool of two samples or more is allowed"
            raise Violation(f"{self.where}: {call} raised {raised}; {fix}") from error

    @contextmanager
    def untouched(self, table: Table) -> Iterator[None]:
        before = state_digest(table.state_dict())
        yield
        self.require(
            before == state_digest(table.state_dict()), "the table is read only", "work on copies of its columns"
        )


def copy_of(seen: Observed) -> Observed:
    return Observed(seen.ids_B.clone(), {name: values.clone() for name, values in seen.columns.items()})


def is_same(seen: Observed, other: Observed) -> bool:
    columns = (same(values, other.columns[name]) for name, values in seen.columns.items())
    return same(seen.ids_B, other.ids_B) and all(columns)


def by_id(chosen: Selection) -> list[tuple[int, float]]:
    return sorted(zip(chosen.ids_M.tolist(), chosen.weight_M.tolist(), strict=True))


def same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.double(), other.double(), rtol=0, atol=0, equal_nan=True)


def is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_plain(each) for key, each in value.items())
    if isinstance(value, list):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, torch.Tensor))
