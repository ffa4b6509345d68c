"""Recipes and photos for the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

RECIPE = """[data]
source = "digits"

[model]
name = "lenet5"
width = 0.25

[train]
epochs = 2
batch_size = 64
lr = 0.05

[select]
method = "random"
share = 0.2
"""


def images(root: Path, per_class: int = 12) -> Path:
    """A folder of two classes of tiny images."""
    for label, grey in (("dark", 40), ("light", 200)):
        (root / label).mkdir(parents=True)
        for number in range(per_class):
            Image.new("RGB", (32, 32), (grey, grey + number, grey)).save(root / label / f"{number:02}.png")
    return root


def photos(folder: Path, **sections: str) -> Path:
    """A recipe that trains on `folder:photos` beside it."""
    keys = {"batch_size": "8", "epochs": "1", "damaged": '"error"', **sections}
    path = folder / "photos.toml"
    path.write_text(
        f'[data]\nsource = "folder:photos"\nval = "none"\ndamaged = {keys["damaged"]}\n'
        '[model]\nname = "lenet5"\nwidth = 0.25\n'
        f"[train]\nepochs = {keys['epochs']}\nbatch_size = {keys['batch_size']}\nlr = 0.01\n"
    )
    return path


def status(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "status.json").read_text())
    return content
