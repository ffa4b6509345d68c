"""Square pictures of many kinds, for tests of what is done to their pixels."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor

SIDE = 24


def _pictures() -> Tensor:
    """Digits in two tints, ramps, a flat one, noise, and noise of few levels: (8, SIDE, SIDE, 3)."""
    chance = torch.Generator().manual_seed(3)
    digit = torch.from_numpy(load_digits().images[:3] * 15.9).to(torch.uint8).repeat_interleave(3, 1)
    digit = digit.repeat_interleave(3, 2)[..., None]
    ramp = torch.linspace(0, 255, SIDE).to(torch.uint8)
    across, down = ramp[None, :, None].expand(SIDE, -1, 1), ramp[:, None, None].expand(-1, SIDE, 1)
    noise = torch.randint(0, 256, (2, SIDE, SIDE, 3), dtype=torch.uint8, generator=chance)
    listed = [
        digit[0].expand(-1, -1, 3),
        torch.cat([digit[1], 255 - digit[1], digit[2]], 2),
        torch.cat([across, down, across.flip(1)], 2),
        torch.cat([across // 2 + 60, across // 3, down // 4 + 128], 2),
        torch.full((SIDE, SIDE, 3), 77, dtype=torch.uint8),
        noise[0],
        noise[1] // 64 * 50 + 20,
        torch.where(noise[1] > 250, noise[1], 255),
    ]
    return torch.stack(listed)


PICTURES = _pictures()
PLANES = PICTURES.permute(0, 3, 1, 2).contiguous()


def levels_apart(ours_BHWC: Tensor, theirs_BCHW: Tensor) -> int:
    return int((ours_BHWC.permute(0, 3, 1, 2).int() - theirs_BCHW.int()).abs().max())
