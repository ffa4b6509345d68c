"""A loop that is not ours, for tests: its samples, what a model says of them, and what it does with a batch."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from fewer.core import rng
from fewer.select.own_loop import Chooser

SIZE, CLASSES, EPOCHS = 61, 3, 6
LABELS = torch.arange(SIZE) % CLASSES
SETTINGS: list[dict[str, Any]] = [
    {"method": "dbpd", "threshold": 0.6, "refresh_every": 0, "guards": {"noise_cap": 0.05}},
    {"method": "dbpd", "threshold": 0.6, "refresh_every": 2, "guards": "off"},
    {"method": "dbpd", "threshold": 0.4, "score": "fresh", "revision": "1ep"},
    {"method": "kakurenbo", "hidden": 0.5},
    {"method": "infobatch", "pruned": 0.7},
    {"method": "class_balanced"},
    {"method": "orderdp", "cost": 0.6},
    {"method": "alternate", "cost": 0.8},
]


def build(content: dict[str, Any], comm: Any = None) -> Chooser:
    return Chooser(**{"labels": LABELS, "epochs": EPOCHS, "seed": 4, "comm": comm, **content})


def said(ids: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
    """Losses and logits of samples in an epoch: what a model would say, in any batch and on any rank."""
    logits = torch.stack([4 * rng.uniform(ids, c, "logit", epoch) for c in range(CLASSES)], dim=1).float()
    return torch.nn.functional.cross_entropy(logits, LABELS[ids], reduction="none"), logits


def look(chooser: Chooser, epoch: int) -> None:
    """What the method wants scored is scored."""
    wanted = chooser.ids_to_score(epoch)
    if len(wanted):
        chooser.observe(wanted, *said(wanted, 100 + epoch), kind="scored")


def step(chooser: Chooser, ids: Tensor, epoch: int) -> Tensor:
    """What a loop does with a batch; returns weights of those that it trains on, by id."""
    if not chooser.selector.in_batch(chooser._epochs.at):
        weights = chooser.weights(ids)
    else:
        mask, weights, _ = chooser.keep(ids, *said(ids, 200 + epoch))
        ids = ids[mask]
    chooser.observe(ids, *said(ids, epoch))
    return torch.zeros(SIZE).index_add_(0, ids, weights)


def epochs_of(chooser: Chooser, first: int = 0, last: int = EPOCHS, batch_size: int = 8) -> list[list[int]]:
    """The ids of each epoch as the sampler gives them, while everything is observed."""
    told = []
    for epoch in range(first, last):
        look(chooser, epoch)
        chooser.begin(epoch)
        ids = list(chooser.sampler)
        for batch in torch.tensor(ids, dtype=torch.int64).split(batch_size):
            step(chooser, batch, epoch)
        told.append(ids)
    return told


class Numbers(Dataset[Any]):
    """Samples that are their own position, squared."""

    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, index: int) -> tuple[int, int]:
        return index**2, int(LABELS[index])


def pickled(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
