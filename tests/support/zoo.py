"""Image files of every kind, sound, odd and damaged, for tests of inspection."""

from __future__ import annotations

import io
import os
import signal
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fewer.data.decode.decode import PIXELS_MAX
from fewer.inspection.check import check
from fewer.inspection.findings import Finding
from fewer.inspection.inventory import inventory_of
from fewer.inspection.probe import ImageFacts
from fewer.inspection.scan import scan

SIDE = 24

Files = dict[str, bytes]


def picture(seed: int, width: int = SIDE, height: int = SIDE, mode: str = "RGB") -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.frombytes(mode, (width, height), values.tobytes())


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bare_png(width: int, height: int, bits: int, colour: int, rows: bytes, key: bytes = b"") -> bytes:
    """A PNG of these rows; `key` names its transparent colour."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + (png_chunk(b"tRNS", key) if key else b"")
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(20, SIDE, SIDE * 2), "JPEG", exif=exif)


def corrupt_exif() -> bytes:
    return encoded(picture(25), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0" + b"\x0f\x01\x02\0\xff\0\0\0\xff\0\0\0")


def frames(format: str) -> bytes:
    return encoded(picture(21), format, save_all=True, append_images=[picture(22), picture(23)])


def deep_tiff() -> bytes:
    values = np.random.default_rng(24).integers(0, 65536, (SIDE, SIDE)).astype(np.uint16)
    return encoded(Image.fromarray(values), "TIFF")


def damaged_files() -> dict[str, tuple[str, bytes]]:
    """Code and contents of files that cannot be decoded."""
    return {
        "cut.jpg": ("truncated", encoded(picture(1), "JPEG")[:-200]),
        "cut.png": ("truncated", encoded(picture(2))[:-300]),
        "cut.gif": ("truncated", encoded(picture(3), "GIF")[:-200]),
        "empty.png": ("empty-file", b""),
        "text.png": ("not-an-image", b"this is no image at all\n" * 9),
        "bomb.png": ("decompression-bomb", bare_png(60_000, 60_000, 8, 2, b"")),
        "just-too-many.png": ("decompression-bomb", bare_png(10_001, PIXELS_MAX // 10_000, 8, 2, b"")),
        "float.tif": ("undecodable", encoded(Image.new("F", (SIDE, SIDE), 0.5), "TIFF")),
    }


def odd_files() -> dict[str, tuple[set[str], bytes]]:
    """Codes and contents of files that decode all the same."""
    sixteen = bare_png(SIDE, SIDE, 16, 2, (b"\0" + os.urandom(6 * SIDE)) * SIDE)
    return {
        "cmyk.jpg": ({"cmyk"}, encoded(picture(30, mode="CMYK"), "JPEG")),
        "grey.png": ({"not-rgb"}, encoded(picture(31, mode="L"))),
        "palette.png": ({"not-rgb"}, encoded(picture(32).quantize(16))),
        "alpha.png": ({"not-rgb"}, encoded(picture(33, mode="RGBA"))),
        "deep.png": ({"16-bit"}, sixteen),
        "deep.tif": ({"16-bit", "not-rgb"}, deep_tiff()),
        "animated.webp": ({"animated"}, frames("WEBP")),
        "pages.tif": ({"animated", "alike-within-split"}, frames("TIFF")),  # the pictures of animated.webp
        "1x1.png": ({"tiny"}, encoded(picture(34, 1, 1))),
        "turned.jpg": ({"exif-rotated"}, turned()),
        "corrupt-exif.jpg": ({"corrupt-metadata"}, corrupt_exif()),
        "long.png": ({"extreme-aspect"}, encoded(picture(35, 10 * SIDE, SIDE))),
        "really-jpeg.png": ({"wrong-suffix"}, encoded(picture(36), "JPEG")),
        "bell\x07.png": ({"odd-name"}, encoded(picture(37))),
    }


def written(root: Path, files: Files) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def plain(split: str, first: int, each: int = 3) -> Files:
    return {
        f"{split}/{label}/{i}.png": encoded(picture(first + 100 * at + i))
        for at, label in enumerate(("cat", "dog"))
        for i in range(each)
    }


def findings(text: str) -> list[Finding]:
    inventory = inventory_of(text)
    return check(inventory, scan(inventory, processes=0))


def dies(raw: bytes) -> ImageFacts:
    """Stands in for a decoder with a memory error."""
    if raw == b"die":
        os.kill(os.getpid(), signal.SIGKILL)
    return ImageFacts(reason=raw.decode())
