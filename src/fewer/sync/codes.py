"""Codes of vectors: bfloat16, and whole numbers of 8 or 4 bits with a scale for each block.

R: rows. N: numbers of a row. S: blocks of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 128  # numbers that share a scale
_SCALE_BYTES = 4


@final
class Bfloat16:
    """The upper half of float32, rounded."""

    unit = 1

    def encode(self, values_RN: Tensor) -> Tensor:
        return values_RN.to(torch.bfloat16).contiguous().view(torch.uint8)

    def decode(self, bytes_RB: Tensor, dtype: torch.dtype) -> Tensor:
        return bytes_RB.contiguous().view(torch.bfloat16).to(dtype)


@final
class WholeNumbers:
    """Whole numbers of as many bits, rounded to the nearest, times a scale of float32 for each block.

    Args:
        bits: 8 or 4.
    """

    unit = BLOCK

    def __init__(self, bits: int) -> None:
        self._bits, self._largest = bits, 2 ** (bits - 1) - 1

    def encode(self, values_RN: Tensor) -> Tensor:
        blocks = values_RN.unflatten(-1, (-1, BLOCK))
        scale_RS = (blocks.abs().amax(-1) / self._largest).float()
        divisor = torch.where(scale_RS > 0, scale_RS, 1.0).to(values_RN)[..., None]
        whole = (blocks / divisor).round().clamp(-self._largest, self._largest).to(torch.int8).flatten(-2)
        return torch.cat([self._packed(whole), scale_RS.contiguous().view(torch.uint8)], dim=-1)

    def decode(self, bytes_RB: Tensor, dtype: torch.dtype) -> Tensor:
        blocks = bytes_RB.shape[-1] // (BLOCK * self._bits // 8 + _SCALE_BYTES)
        codes, scales = bytes_RB.split([bytes_RB.shape[-1] - blocks * _SCALE_BYTES, blocks * _SCALE_BYTES], dim=-1)
        scale_RS = scales.contiguous().view(torch.float32).to(dtype)
        values: Tensor = self._unpacked(codes).to(dtype).unflatten(-1, (-1, BLOCK)) * scale_RS[..., None]
        return values.flatten(-2)

    def _packed(self, whole: Tensor) -> Tensor:
        if self._bits == 8:
            return whole.view(torch.uint8)
        pairs: Tensor = (whole + 8).view(torch.uint8).unflatten(-1, (-1, 2))
        return pairs[..., 0] | (pairs[..., 1] << 4)

    def _unpacked(self, codes: Tensor) -> Tensor:
        if self._bits == 8:
            return codes.contiguous().view(torch.int8)
        pairs = torch.stack([codes & 15, codes >> 4], dim=-1).flatten(-2)
        return pairs.to(torch.int8) - 8
