"""Figures of a source, against numpy and against training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewer.inspection.inventory import inventory_of
from fewer.inspection.scan import scan
from fewer.inspection.statistics_page import statistics_page
from fewer.inspection.stats import as_text, statistics
from zoo import encoded, picture, written


def test_figures_are_numpys(tmp_path: Path) -> None:
    shapes = [(30, 20), (20, 20), (64, 16), (40, 50), (33, 47)]
    images = {f"{'ab'[i % 2]}/{i}.png": picture(i, *shape) for i, shape in enumerate(shapes)}
    root = written(tmp_path / "f", {name: encoded(image) for name, image in images.items()})
    inventory = inventory_of(f"folder:{root}")
    figures = statistics("x", inventory, scan(inventory, processes=0))
    assert json.loads(json.dumps(figures)) == figures
    of = figures["splits"]["all"]
    pixels = np.concatenate([np.asarray(image).reshape(-1, 3) for image in images.values()]) / 255
    np.testing.assert_allclose(of["mean"], pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(of["std"], pixels.std(0), rtol=1e-9)
    short = np.array([min(shape) for shape in shapes])
    spread = of["measures"]["short_side_px"]
    assert (spread["min"], spread["median"], spread["max"]) == (short.min(), np.median(short), short.max())
    assert spread["p95"] == pytest.approx(np.percentile(short, 95))
    assert sum(spread["histogram"]["counts"]) == len(shapes)
    assert of["measures"]["aspect"]["max"] == 4.0
    assert figures["classes"][0] == {"name": "a", "images": 3, "splits": {"all": 3}}
    assert of["imbalance"] == 1.5
    assert of["bytes"] == sum(file.stat().st_size for file in root.rglob("*.png"))
    assert any("imbalance     1.5" in line for line in as_text(figures))


def test_moments_are_trainings() -> None:
    from fewer.data.images import ImageData
    from fewer.data.listing.splits import open_splits

    inventory = inventory_of("digits")
    of = statistics("digits", inventory, scan(inventory, processes=0))["splits"]["all"]
    mean, std = ImageData(open_splits("digits", "none", "none").train).moments(8)
    assert of["mean"] == pytest.approx(mean, rel=1e-12)
    assert of["std"] == pytest.approx(std, rel=1e-9)


def test_near_duplicates_are_counted_by_groups(tmp_path: Path) -> None:
    scenes = [picture(seed, 6, 6).resize((60, 60), Image.Resampling.BICUBIC) for seed in range(3)]
    files = {f"train/a/{seed}.png": encoded(scene) for seed, scene in enumerate(scenes)}
    files |= {"train/b/other.png": encoded(picture(9)), "test/a/like.jpg": encoded(scenes[0], "JPEG", quality=60)}
    files |= {"train/b/half.png": encoded(scenes[2].resize((30, 30))), "test/b/last.png": encoded(picture(10))}
    inventory = inventory_of(f"folder:{written(tmp_path / 'f', files)}")
    figures = statistics("x", inventory, scan(inventory, processes=0))
    found = figures["near_duplicates"]
    assert (found["images"], found["groups"], found["groups_across_splits"]) == (4, 2, 1)
    assert sorted(sorted(group["names"]) for group in found["largest"]) == [
        ["test/a/like.jpg", "train/a/0.png"],
        ["train/a/2.png", "train/b/half.png"],
    ]
    lines = list(as_text(figures))
    assert "near-duplicates: 4 images in 2 groups, 1 of them in more than one split" in lines
    assert "near-duplicates: 4 images in 2 groups" in statistics_page(figures, inventory)
