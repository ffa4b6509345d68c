"""Selectors on a few samples, and their choices over some epochs whose losses a script gives."""

from __future__ import annotations

from typing import Any

import torch

from fewer import select
from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.protocols import Selector
from fewer.core.table import Table
from fewer.core.types import At, Selection

EPOCHS = 8
BARE = {"guards": "off", "refresh_every": 0, "revision": "0ep"}
ALL8 = list(range(8))


def build_on(content: dict[str, Any], population: Population, epochs: int = 6) -> Selector:
    """A recipe's selector on a population."""
    return select.build(select.params(content["method"]).model_validate(content), population, epochs)


def build(content: dict[str, Any], labels: list[int], epochs: int = EPOCHS, seed: int = 0) -> Selector:
    """A recipe's selector on samples of these labels."""
    return build_on(content, Population(seed, torch.tensor(labels), max(labels) + 1), epochs)


class Story:
    """A selector's choices over some epochs, in which what it chooses gets the losses of a script."""

    def __init__(self, content: dict[str, Any], labels: list[int], epochs: int = EPOCHS) -> None:
        bare = {key: value for key, value in BARE.items() if key in select.params(content["method"]).model_fields}
        self.selector = build({**bare, **content}, labels, epochs)
        self.table, self.epochs, self.epoch = Table(len(labels)), epochs, 0
        self.share: float | None = None
        self.chosen: Selection

    def next(self, loss: list[float], wrong: set[int] | None = None) -> list[int]:
        """The ids of the next epoch, whose training then leaves these losses; score = exp(-loss)."""
        at = At(self.epoch, self.epochs, self.epoch / self.epochs, self.share if self.epoch else None)
        self.chosen = self.selector.select(self.table, torch.arange(len(loss)), at)
        ids = self.chosen.ids_M.sort().values
        values = torch.tensor(loss)[ids]
        right = torch.tensor([int(i) not in (wrong or set()) for i in ids], dtype=torch.bool)
        self.table.observe("trained", Observed.of(ids, values, torch.exp(-values), right), self.epoch)
        self.epoch += 1
        return ids.tolist()

    def look(self, loss: dict[int, float]) -> None:
        """Some samples are scored before the next epoch, and have these losses."""
        ids, values = torch.tensor(list(loss)), torch.tensor(list(loss.values()))
        self.table.observe("scored", Observed.of(ids, values, torch.exp(-values), values < 0.7), self.epoch)


def population_of(counts: list[int], seed: int = 0) -> Population:
    label_N = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return Population(seed, label_N, len(counts))


def epoch_of(content: dict[str, Any], population: Population, epoch: int = 0) -> torch.Tensor:
    size = len(population.group_N)
    selector = build_on(content, population)
    return selector.select(Table(size), torch.arange(size), At(epoch, 6, epoch / 6)).ids_M
