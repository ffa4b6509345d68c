"""Folders of small random photos, for tests that need files."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image


def write_photos(folder: Path, each: int, width_px: int = 20, height_px: int = 20, green: bool = True) -> Path:
    """Writes `each` PNGs into the class folders `cat` and `dog`; without green that channel is constant."""
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            pixels = torch.randint(0, 256, (height_px, width_px, 3), dtype=torch.uint8)
            pixels[..., 1] *= green
            Image.fromarray(pixels.numpy()).save(folder / name / f"{number}.png")
    return folder
