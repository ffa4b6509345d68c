"""Weights as they are, in one flat all-reduce: a worker of K sends 2 (K - 1) / K of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from fewer.core.config import Section
from fewer.core.protocols import Comm
from fewer.core.types import State
from fewer.sync.exchange import Tensors, weighted_mean


class Params(Section):
    pass


@final
class Full:
    """Means of what is given, exact up to the order of the sum."""

    sends_changes = False

    def __init__(self, comm: Comm, workers: int) -> None:
        self._comm, self._local = comm, workers // comm.world_size

    def mean(self, vectors_L: Sequence[Tensors], weights_L: Sequence[float], anchors: Tensors) -> Tensors:
        return weighted_mean(self._comm, vectors_L, weights_L)

    def states(self) -> list[State]:
        return [{} for _ in range(self._local)]

    def load_states(self, states_L: Sequence[State]) -> None:
        return


def build(params: Params, comm: Comm, workers: int) -> Full:
    return Full(comm, workers)


def sent_bytes(params: Params, parameters: int, workers: int, number_bytes: int) -> float:
    """What a worker sends in one sync."""
    return 2 * (workers - 1) / workers * parameters * number_bytes
