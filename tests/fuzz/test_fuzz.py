"""Fuzz targets: whatever a file holds, it is read or refused with one of our errors, and never anything else.

Each target takes the bytes of a sound file, which are changed at random: cut, joined, repeated, replaced. By default a
few hundred changes from a fixed seed are tried; `make fuzz FUZZ=3600` tries new ones for so many seconds each.
"""

from __future__ import annotations

import io
import json
import os
import random
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from fewer.core.errors import DataError, FewerError, RecipeError
from fewer.data.annotations.label_csv import read_columns
from fewer.data.decode.decode import Damaged, decode
from fewer.data.listing.tar import members
from fewer.models.files import read_tensors
from fewer.recipe.parse import load_recipe
from fewer.report.overview import summary
from paths import ROOT
from sources import folder, packed

SECONDS = float(os.environ.get("FEWER_FUZZ_SECONDS", "0"))
CHANGES = 300  # of each target, where no time is given
SIDE_PX = 8
# What parsers stumble over: ends of lines, signs, quotes, numbers beyond what fits, other encodings.
WORDS = [
    *(b"\0", b"\n", b'"', b"'", b"-", b"=", b"[", b"]", b"{", b",", b"\\", b"1e999", b"nan", b"-1", b"9" * 40),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"../", b"true", b"[[stages]]\n"),
]


def changed(data: bytes, chance: random.Random) -> bytes:
    """The bytes with one to four changes."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.choice([0, 1, 2, 8, 64, 512]))
        new = chance.choice([b"", chance.randbytes(end - start), chance.choice(WORDS), data[start:end] * 2])
        data = data[:start] + new + data[end:]
    return data


def changes(seeds: list[bytes]) -> Iterator[bytes]:
    """Changed files: a fixed draw, or new ones until the time is over."""
    chance = random.Random(time.time_ns() if SECONDS else 0)
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends if SECONDS else CHANGES:
        yield from (changed(chance.choice(seeds), chance) for _ in range(CHANGES))
        if not SECONDS:
            return


def encoded(format: str, mode: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (11, 13, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, format)
    return out.getvalue()


# --- Targets: each reads a file with foreign content, and says what must hold if it could be read --------------------


def recipe(path: Path) -> None:
    load_recipe(path)


def labels(path: Path) -> None:
    names, values = read_columns(str(path), "file", "label")
    assert len(names) == len(values)


def tar(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = path.stat().st_size
        assert all(0 <= data <= data + length <= size for data, length in members(descriptor, "x").files.values())
    finally:
        os.close(descriptor)


def image(path: Path) -> None:
    assert decode(path.read_bytes(), SIDE_PX).shape == (SIDE_PX, SIDE_PX, 3)


def weights(path: Path) -> None:
    assert all(isinstance(tensor, torch.Tensor) for tensor in read_tensors(path).values())


def run(path: Path) -> None:
    """A run folder all of whose documents are the same foreign file: its line in a list always comes."""
    for name in ("status.json", "plan.json", "result.json", "rows.jsonl", "env.json"):
        (path.parent / name).write_bytes(path.read_bytes())
    assert summary(path.parent)


TARGETS: dict[str, tuple[Callable[[Path], None], tuple[type[Exception], ...]]] = {
    "recipe.toml": (recipe, (RecipeError, DataError)),
    "labels.csv": (labels, (DataError,)),
    "images.tar": (tar, (DataError,)),
    "image": (image, (Damaged,)),
    "model.safetensors": (weights, (FewerError,)),
    "recipe.resolved.toml": (run, ()),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    """Files that are read without complaint, by target."""
    home = tmp_path_factory.mktemp("sound")
    status = {"state": "done", "epoch": 1, "epochs": 2, "best": {"metric": "val/top1", "value": 0.5, "epoch": 1}}
    row = {"kind": "epoch", "epoch": 0, "step": 3, "loss": 1.5, "fee": 1.0, "seconds": 2.0}
    return {
        "recipe.toml": [path.read_bytes() for path in sorted((ROOT / "recipes").glob("*.toml"))],
        "labels.csv": [b"file,label\na/1.png,cat\nb/2.png,dog\n", "file;label\r\na;é\r\n".encode("utf-16")],
        "images.tar": [packed(home / "x.tar", folder(home / "f", {"a": 2, "b": 1})).read_bytes()],
        "image": [
            encoded(*kind)
            for kind in (
                ("PNG", "RGB"),
                ("PNG", "P"),
                ("JPEG", "L"),
                ("GIF", "P"),
                ("BMP", "RGB"),
                ("TIFF", "RGBA"),
                ("WEBP", "RGB"),
                ("PPM", "RGB"),
            )
        ],
        "model.safetensors": [save({"weight": torch.ones(2, 3), "bias": torch.zeros(2)})],
        "recipe.resolved.toml": [json.dumps(status).encode(), json.dumps(row).encode() + b"\n"],
    }


@pytest.mark.parametrize("name", TARGETS)
def test_foreign_content_is_read_or_refused(name: str, sound: dict[str, list[bytes]], tmp_path: Path) -> None:
    target, refusals = TARGETS[name]
    path, number = tmp_path / name, 0
    for number, content in enumerate(changes(sound[name]), 1):  # noqa: B007
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of Pillow, about damaged files
                target(path)
        except refusals:
            pass
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}; the file: {content!r}") from error
    assert number >= CHANGES
