"""Resumed equals never stopped over a pairwise matrix: every two settings of two factors meet in some run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

import pytest

from fewer.testing.harness import Content, interrupted, one_thread, trained

FACTORS: dict[str, list[Any]] = {
    "model": [
        {"name": "lenet5", "width": 0.1},
        {"name": "cnn", "width": 0.1},
        {"name": "lenet5", "width": 0.1, "dropout": 0.3},
    ],
    "precision": ["fp32", "bf16"],
    "data": [{"in_memory": "yes"}, {"in_memory": "no", "processes": 1}],
    "select": [
        {"method": "full"},
        {"method": "random", "share": 0.6, "revision": "1ep"},
        {"method": "dbpd", "score": "stale", "threshold": 0.11, "refresh_every": 2},
        {"method": "dbpd", "score": "fresh", "threshold": 0.11},
        {"method": "dbpd", "score": "fresh", "threshold": 0.11, "batches": "shrink", "scoring": "train"},
    ],
    "ema": ["off", "0.5ep"],
    "accumulate": [1, 2],
    "clip_norm": [0.0, 1.0],
}
Choice = tuple[int, ...]


def pairwise(sizes: Sequence[int]) -> Iterator[Choice]:
    """Few combinations in which every two levels of every two factors meet: greedily, the one with most new pairs."""
    every = list(product(*map(range, sizes)))
    missing = {pair for choice in every for pair in pairs(choice)}
    while missing:
        best = max(every, key=lambda choice: len(missing & pairs(choice)))
        missing -= pairs(best)
        yield best


def pairs(choice: Choice) -> set[tuple[tuple[int, int], ...]]:
    return set(combinations(enumerate(choice), 2))


CHOICES = list(pairwise([len(levels) for levels in FACTORS.values()]))


def content_of(choice: Choice) -> Content:
    chosen: Mapping[str, Any] = {name: levels[at] for (name, levels), at in zip(FACTORS.items(), choice, strict=True)}
    return {
        "data": {"source": "digits", "test": "96.5%", "val": "none", **chosen["data"]},
        "augment": {"crop_padding_px": 2, "flip": "random", "cutout_px": 4},
        "model": chosen["model"],
        "select": chosen["select"],
        "stages": [{"epochs": 1, "side_px": 16, "batch_size": 16}, {"epochs": 2, "side_px": 20, "batch_size": 24}],
        "train": {"lr": 0.05, **{name: chosen[name] for name in ("precision", "ema", "accumulate", "clip_norm")}},
    }


def test_every_two_settings_meet() -> None:
    met = set().union(*map(pairs, CHOICES))
    sizes = [len(levels) for levels in FACTORS.values()]
    expected = sum(a * b for a, b in combinations(sizes, 2))
    assert len(met) == expected
    assert len(CHOICES) <= 20


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: "-".join(map(str, choice)))
def test_a_resumed_run_equals_one_that_never_stopped(choice: Choice) -> None:
    content = content_of(choice)
    epochs: list[int] = []  # of every batch
    with one_thread():
        unstopped = trained(content, look=lambda session, row: epochs.append(row.epoch))
        border = epochs.count(0)
        batches = [border // 2, border, border + 2]  # within the first stage, at its border, within the second
        assert interrupted(content, batches).run.digest() == unstopped.run.digest()
