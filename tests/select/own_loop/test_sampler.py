"""The sampler: loaders get what was chosen, with any number of processes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader

from fewer.select.own_loop import Indexed
from own_loops import SIZE, Numbers, build, said, step


def test_loaders_get_what_was_chosen_in_every_epoch() -> None:
    chooser = build({"method": "random", "share": 0.5})
    sizes, seen = [], []
    loader = DataLoader(Indexed(Numbers()), batch_size=8, sampler=chooser.sampler)
    batches = DataLoader(Indexed(Numbers()), batch_sampler=BatchSampler(chooser.sampler, 7, drop_last=True))
    assert len(loader) == 8, "before the first epoch: one on everything"
    for epoch in range(3):
        chooser.sampler.set_epoch(epoch)
        sizes.append((len(loader), len(chooser.sampler), len(batches)))
        squares, _, ids = map(torch.cat, zip(*loader, strict=True))
        assert torch.equal(squares, ids**2)
        assert sum(len(batch) for *_, batch in batches) == 28
        chooser.observe(ids, *said(ids, epoch))
        seen.append(ids.tolist())
    assert sizes == [(4, 30, 4)] * 3
    assert all(len(set(ids)) == 30 for ids in seen)
    assert len({tuple(sorted(ids)) for ids in seen}) == 3


def test_a_loader_keeps_its_length_while_an_epoch_is_observed() -> None:
    chooser = build({"method": "infobatch"})
    loader = DataLoader(Indexed(Numbers()), batch_size=8, sampler=chooser.sampler)
    chooser.begin(0)
    lengths = []
    for _, _, ids in loader:
        chooser.observe(ids, *said(ids, 0))
        lengths.append(len(loader))
    assert lengths == [8] * 8


def test_epochs_that_observe_nothing_are_counted_too() -> None:
    chooser = build({"method": "full"})
    loader = DataLoader(Indexed(Numbers()), batch_size=8, sampler=chooser.sampler)
    for epoch in range(3):
        chooser.begin(epoch)
        assert chooser.spent()["effective_epochs"] == epoch
        list(loader)
    assert chooser.spent() == {"effective_epochs": 3.0, "full_epoch_equivalents": 3.0}


@pytest.mark.parametrize("processes", [0, 2])
def test_loader_processes_change_nothing(processes: int) -> None:
    chooser = build({"method": "dbpd", "threshold": 0.6})
    options: dict[str, Any] = {"num_workers": processes, "persistent_workers": processes > 0}
    loader = DataLoader(Indexed(Numbers()), batch_size=8, sampler=chooser.sampler, **options)
    told = []
    for epoch in range(3):
        chooser.begin(epoch)
        told.append([])
        for _, _, ids in loader:
            step(chooser, ids, epoch)
            told[-1] += ids.tolist()
    other = build({"method": "dbpd", "threshold": 0.6})
    for epoch in range(3):
        other.begin(epoch)
        assert list(other.sampler) == told[epoch]
        for batch in torch.tensor(told[epoch]).split(8):
            step(other, batch, epoch)
    assert len(told[1]) < SIZE
