"""Choices that were made once for a whole run: which samples each epoch trains on, a bit a sample and epoch.

E: epochs. N: all ids of the source. M: samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Choices:
    """Which samples are chosen in which epoch.

    Attributes:
        bits_EK: A bit a sample in each row, uint8 of K = ceil(N / 8) columns; 6 KB an epoch for 50,000 samples.
        size: N.
    """

    bits_EK: Tensor
    size: int

    def __post_init__(self) -> None:
        import torch

        bits_EK = self.bits_EK
        if bits_EK.dtype != torch.uint8 or bits_EK.dim() != 2 or bits_EK.shape[1] != -(-self.size // 8):
            raise ValueError(
                f"choices for {self.size} samples are uint8 of (epochs, {-(-self.size // 8)}), not {bits_EK.dtype} of "
                f"{tuple(bits_EK.shape)}"
            )

    @property
    def epochs(self) -> int:
        return len(self.bits_EK)

    def among(self, ids_M: Tensor, epoch: int) -> Tensor:
        """Which of some samples are chosen in an epoch, a mask; none in an epoch that no choice was made for."""
        import torch

        if epoch >= self.epochs:
            return torch.zeros(len(ids_M), dtype=torch.bool)
        return (self.bits_EK[epoch][ids_M // 8] >> (ids_M % 8).to(torch.uint8)) & 1 == 1

    @classmethod
    def of(cls, mask_EN: Tensor) -> Choices:
        """The choices that masks, a row an epoch, hold."""
        import torch

        epochs, size = mask_EN.shape
        whole = torch.zeros(epochs, -(-size // 8) * 8, dtype=torch.uint8)
        whole[:, :size] = mask_EN
        place = torch.tensor([1 << bit for bit in range(8)], dtype=torch.uint8)
        return cls((whole.view(epochs, -1, 8) * place).sum(2, dtype=torch.uint8), size)
