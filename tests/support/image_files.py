"""Image files of many sizes and formats, for tests of decoding and loading."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from fewer.data.listing.splits import Split, open_splits
from zoo import bare_png


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def png16(values: np.ndarray, key: bytes = b"") -> bytes:
    """A PNG of 16 bits a channel, (height, width) or (height, width, channels); `key` names its transparent colour."""
    height, width, channels = (*values.shape, 1)[:3]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return bare_png(width, height, 16, (0, 4, 2, 6)[channels - 1], rows, key)


def write_images(root: Path, images: int = 24) -> Path:
    """JPEGs and PNGs of many sizes in two classes."""
    for i in range(images):
        folder = root / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(noise(20 + i, 60 - 2 * i, 3, seed=i))
        (folder / f"{i:03d}.jpg").write_bytes(encoded(image, ("JPEG", "PNG")[i % 3 == 0]))
    return root


def photo(width: int, height: int, seed: int = 0, grain_px: int = 12) -> Image.Image:
    """A picture as smooth as photos are: noise of a few pixels' size, enlarged."""
    coarse = Image.fromarray(noise(-(-height // grain_px), -(-width // grain_px), 3, seed=seed))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def write_photo(
    file: Path, width: int, height: int, orientation: int = 1, grain_px: int = 12, **options: object
) -> bytes:
    """A JPEG whose pixels are `width` x `height` before EXIF turns them; returns its bytes."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encoded(photo(width, height, width, grain_px), "JPEG", exif=exif, **options))
    return file.read_bytes()


def write_squares(root: Path, images: int = 12, side_px: int = 8) -> Path:
    """Square PNGs of one size in two classes."""
    for i in range(images):
        (root / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(side_px, side_px, 3, seed=i)).save(root / "ab"[i % 2] / f"{i:03d}.png")
    return root


def all_of(root: Path) -> Split:
    """All images of a folder, as a training set."""
    return open_splits(f"folder:{root}", test="none", val="none").train
