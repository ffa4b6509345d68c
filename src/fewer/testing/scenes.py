"""Training sets with made-up losses, in which a selector is tried."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from fewer.core import rng
from fewer.core.choices import Choices
from fewer.core.observation import Column, Observed
from fewer.core.population import Population, ShownClasses

if TYPE_CHECKING:
    from torch import Tensor

REPEATED = "half the cost"  # the scene that is played twice


@dataclass(frozen=True)
class Scene:
    """A training set, its losses, and the share that is asked for."""

    name: str
    population: Population
    share: float | None = None
    has_nan: bool = False

    @property
    def pool(self) -> Tensor:
        return (self.population.group_N >= 0).nonzero().flatten()

    def made_up(self, ids: Tensor, purpose: str, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Made-up losses, scores and correctness; samples get easier from epoch to epoch."""
        score = rng.uniform(ids, 5, purpose, epoch) ** (1 / (1 + epoch))
        loss, right = -torch.log(score.clamp(min=1e-6)), score > 0.5
        if self.has_nan:
            lost = rng.uniform(ids, 6, purpose, epoch) < 0.2
            loss, score = loss.masked_fill(lost, torch.nan), score.masked_fill(lost, torch.nan)
        return loss, score, right

    def observed(self, ids: Tensor, kind: str, epoch: int, columns: Sequence[Column] = ()) -> Observed:
        """What `made_up` gives as named columns, with made-up numbers in those that the method asks for."""
        loss, score, right = self.made_up(ids, kind, epoch)
        further = {}
        for column in columns:
            drawn = [rng.uniform(ids, 9, column.name, kind, epoch, place) for place in range(column.width)]
            further[column.name] = drawn[0] if column.width == 1 else torch.stack(drawn, dim=1)
        return Observed.of(ids, loss, score, right, **further)


def scenes() -> Iterator[Scene]:
    label_N = torch.arange(60) % 4
    label_N[::7] = -1  # ids that belong to another split
    known, chosen = rng.uniform(torch.arange(60), 7, "known"), rng.uniform(torch.arange(240).view(4, 60), 7, "choices")
    choices = Choices.of(chosen < 0.5)  # of fewer epochs than are played
    several = Population(seed=3, group_N=label_N, groups=4, reference_loss_N=known, choices=choices)
    yield Scene("four classes", several)
    yield Scene("half the cost", several, share=0.5)
    counted = torch.where(label_N < 0, label_N, torch.arange(60) % 3)
    ids = ((label_N >= 0) & (counted > 0)).nonzero().flatten()
    shown = ShownClasses(ids.repeat(2), torch.cat([torch.zeros_like(ids), 1 + ids % 2]), 3)
    yield Scene("groups that are no classes", Population(3, counted, 3, known, groups_are_classes=False, shown=shown))
    yield Scene("losses that are not numbers", several, has_nan=True)
    one = Population(3, torch.zeros(30, dtype=torch.int64), 1, rng.uniform(torch.arange(30), 7, "known"))
    yield Scene("one class", one)
    yield Scene("two samples", Population(3, torch.tensor([0, -1, 1]), 2, torch.tensor([0.3, torch.nan, 0.6])))


def stream_states() -> list[Any]:
    """Where the random streams of torch, Python and numpy stand, to be compared."""
    import numpy

    numpys: Any = numpy.random.get_state()
    return [torch.get_rng_state().tolist(), random.getstate(), numpys[1].tolist(), numpys[2:]]


@contextmanager
def other_streams() -> Iterator[None]:
    """Random streams at another place, put back afterwards."""
    import numpy

    ours, pythons, numpys = torch.get_rng_state(), random.getstate(), numpy.random.get_state()
    torch.manual_seed(1)
    random.seed(1)
    numpy.random.seed(1)
    try:
        yield
    finally:
        torch.set_rng_state(ours)
        random.setstate(pythons)
        numpy.random.set_state(numpys)
