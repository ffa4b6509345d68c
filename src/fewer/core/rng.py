"""Randomness from (seed, purpose, epoch, sample id), never from a global stream.

A number drawn here depends on its key alone: not on what was drawn before, nor on batch composition, loader
processes or ranks. That makes resuming exact without any generator state in a checkpoint.

The hash is splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014) over
the key's parts in turn, on int64 tensors whose products wrap around, so CPU and GPU agree to the last bit.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def key(seed: int, *parts: int | str) -> int:
    """A 64-bit key of a seed and of any words and integers that name a purpose."""
    text = "\0".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest(), "little")


def bits(ids_B: Tensor, seed: int, *parts: int | str, copy_B: Tensor | None = None) -> Tensor:
    """64 random bits for each id, as int64.

    Args:
        ids_B: Sample ids, int64, any shape.
        seed: The run's seed.
        parts: What the number is for: purpose, epoch, ...
        copy_B: Which repetition of a sample this is, for sampling with repeats; all zero if left out.

    Returns:
        int64 tensor of the shape of `ids_B`, uniform over all 2^64 values.
    """
    state_B = ids_B * _signed(_GAMMA) + _signed(key(seed, *parts))
    if copy_B is not None:
        state_B = state_B + copy_B * _signed(_MIX_1)
    return _mixed(_mixed(state_B) + _signed(_GAMMA))


def uniform(ids_B: Tensor, seed: int, *parts: int | str, copy_B: Tensor | None = None) -> Tensor:
    """A number in [0, 1) for each id, float64 with 53 random bits; arguments as for `bits`."""
    return _shifted(bits(ids_B, seed, *parts, copy_B=copy_B), 11).double() * 2.0**-53


def shuffled(ids_M: Tensor, seed: int, *parts: int | str, copy_M: Tensor | None = None) -> Tensor:
    """The positions that put `ids_M` into a random order that does not depend on how they were listed.

    Args:
        ids_M: Sample ids; a sample listed twice needs `copy_M` to tell its copies apart.
        seed: The run's seed.
        parts: What the order is for.
        copy_M: Which repetition of a sample each entry is.

    Returns:
        int64 tensor of M positions, so that `ids_M[shuffled(...)]` is the shuffled list.
    """
    import torch

    in_order = copy_M is None and bool((ids_M[1:] >= ids_M[:-1]).all())
    listed_M = torch.arange(len(ids_M)) if in_order else torch.argsort(ids_M, stable=True)
    if copy_M is not None:
        listed_M = listed_M[torch.argsort(copy_M[listed_M], stable=True)]
    sorted_copy = None if copy_M is None else copy_M[listed_M]
    return listed_M[torch.argsort(bits(ids_M[listed_M], seed, *parts, copy_B=sorted_copy), stable=True)]


def reseed(seed: int, *parts: int | str) -> None:
    """Sets torch's own stream, for layers that draw from it (dropout, stochastic depth)."""
    import torch

    torch.manual_seed(_signed(key(seed, *parts)))


def _shifted(value_B: Tensor, by: int) -> Tensor:
    """Logical shift right: torch's own keeps the sign bit."""
    return (value_B >> by) & ((1 << (64 - by)) - 1)


def _mixed(state_B: Tensor) -> Tensor:
    state_B = (state_B ^ _shifted(state_B, 30)) * _signed(_MIX_1)
    state_B = (state_B ^ _shifted(state_B, 27)) * _signed(_MIX_2)
    return state_B ^ _shifted(state_B, 31)
