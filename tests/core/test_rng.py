"""Randomness depends on its key alone."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core import rng

_MASK = (1 << 64) - 1


def _finalised(state: int) -> int:
    """The published finaliser, in Python integers."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)


def test_the_hash_is_splitmix64_twice_with_the_id_as_its_counter() -> None:
    start = rng.key(7, "purpose", 3)
    gamma = 0x9E3779B97F4A7C15
    expected = [_finalised((_finalised((start + n * gamma) & _MASK) + gamma) & _MASK) for n in range(20)]
    got = [value & _MASK for value in rng.bits(torch.arange(20), 7, "purpose", 3).tolist()]
    assert got == expected


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=40, unique=True), st.randoms())
@settings(max_examples=30, deadline=None)
def test_a_samples_number_does_not_depend_on_its_batch(ids: list[int], chance: object) -> None:
    whole = dict(zip(ids, rng.uniform(torch.tensor(ids), 1, "crop", 5).tolist(), strict=True))
    for n in ids:
        assert rng.uniform(torch.tensor([n]), 1, "crop", 5).item() == whole[n]


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=60, unique=True), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_a_shuffle_does_not_depend_on_how_its_samples_were_listed(ids: list[int], seed: int) -> None:
    forward, backward = torch.tensor(ids), torch.tensor(ids[::-1])
    one = forward[rng.shuffled(forward, seed, "order", 0)]
    other = backward[rng.shuffled(backward, seed, "order", 0)]
    assert torch.equal(one, other)
    assert sorted(one.tolist()) == sorted(ids)


def test_copies_of_a_sample_are_told_apart() -> None:
    ids, copies = torch.tensor([5, 5, 5]), torch.tensor([0, 1, 2])
    numbers = rng.uniform(ids, 0, "crop", copy_B=copies)
    assert len(set(numbers.tolist())) == 3
    assert numbers[0] == rng.uniform(torch.tensor([5]), 0, "crop")
    order = rng.shuffled(ids, 0, "order", copy_M=copies)
    turned = rng.shuffled(ids, 0, "order", copy_M=copies.flip(0))
    assert copies[order].tolist() == copies.flip(0)[turned].tolist()


def test_numbers_are_uniform_and_purposes_are_independent() -> None:
    ids = torch.arange(200_000)
    one, other = rng.uniform(ids, 0, "a", 1), rng.uniform(ids, 0, "b", 1)
    counts = torch.histc(one, bins=20, min=0, max=1)
    chi_square = float(((counts - 10_000) ** 2 / 10_000).sum())
    assert chi_square < 50  # 19 degrees of freedom: the 0.01 % point is 49.6; the draw is fixed
    assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 0.01
    assert abs(float(torch.corrcoef(torch.stack([one[:-1], one[1:]]))[0, 1])) < 0.01
    assert 0 <= float(one.min()) < float(one.max()) < 1
