"""A small recipe to search with: three batches an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fewer.testing.harness import one_thread

RECIPE = """# Three batches an epoch.
[data]
source = "digits"
subset = 90
val = "5%"
test = "5%"

[model]
name = "lenet5"
width = 0.1

[train]
epochs = 2
batch_size = 30
side_px = 16
lr = 0.05

[out]
checkpoint_every = "1ep"
"""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tune") / "small.toml"
    path.write_text(RECIPE)
    return path
