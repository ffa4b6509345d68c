"""LeNet-5 as federated learning papers use it (Hsu, Qi, Brown 2019, arXiv 1909.06335).

Two 5x5 convolutions of 64 channels with 2x2 max-pooling, then 384 and 192 hidden units: 815,332 parameters for 100
classes at 32 px. At other sides the pooled features are averaged or spread to the same 5x5 grid, so that the stages
of one run share all weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


@final
class LeNet5(nn.Module):
    """Maps (B, 3, S, S) to (B, C) logits, S >= 16.

    Args:
        classes: Number of classes, C.
        width: Factor on the number of channels and hidden units.
        dropout: Share of the hidden units that is dropped in training.
    """

    def __init__(self, classes: int, width: float = 1.0, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        channels, hidden_1, hidden_2 = (max(1, round(width * size)) for size in (64, 384, 192))
        self.conv1 = nn.Conv2d(3, channels, 5)
        self.conv2 = nn.Conv2d(channels, channels, 5)
        self.fc1 = nn.Linear(channels * 25, hidden_1)
        self.fc2 = nn.Linear(hidden_1, hidden_2)
        self.fc3 = nn.Linear(hidden_2, classes)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        # Pooling before the ReLU gives the same values and gradients, and leaves a quarter of the work to the ReLU.
        x = F.relu(F.max_pool2d(self.conv1(image_BCHW), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        if x.shape[-1] != 5:
            x = F.adaptive_avg_pool2d(x, 5)
        x = self._dropped(F.relu(self.fc1(torch.flatten(x, 1))))
        logits_BC: Tensor = self.fc3(self._dropped(F.relu(self.fc2(x))))
        return logits_BC

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x
