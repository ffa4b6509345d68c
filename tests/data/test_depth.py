"""Bits that a set's 16-bit images have: by the set's own range, once, and kept with the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewer.core.types import Request
from fewer.data.augment.random_resized_crop import RandomResizedCrop
from fewer.data.depth import depth_of
from fewer.data.images import ImageData
from fewer.data.listing.splits import Splits, open_splits
from fewer.data.loader import Loader
from fewer.data.one_pass import once
from fewer.data.settings import ReadSettings, ViewSettings
from fewer.data.sources import open_source
from fewer.plan.digest import digest_of
from fewer.plan.facts import Facts, ModelFacts
from fewer.plan.gather import data_facts
from fewer.recipe.parse import parse_recipe
from image_files import png16
from zoo import findings


def deep_set(root: Path, peak: int, colour: bool = False) -> str:
    """Twelve grey or coloured images of 16 bits; the brightest value of all is `peak`, in one image alone."""
    for number in range(12):
        folder = root / "train" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        values = np.full((8, 8, 3) if colour else (8, 8), 1000 + 5 * number, np.uint16)
        values[0, 0] = peak if number == 7 else 1000
        (folder / f"{number}.png").write_bytes(png16(values))
    for label, value in (("a", 1801), ("b", 1802)):
        (root / "test" / label).mkdir(parents=True)
        (root / "test" / label / "0.png").write_bytes(png16(np.full((8, 8), value, np.uint16)))
    (root / "train" / "a" / "grey.png").write_bytes(png16(np.full((8, 8), 1800, np.uint16)))
    return f"folder:{root}"


@pytest.mark.parametrize(("peak", "depth"), [(4095, 12), (4096, 14), (16_383, 14), (16_384, 16), (65_535, 16)])
@pytest.mark.parametrize("colour", [False, True])
def test_the_depth_is_that_of_the_sets_own_range(tmp_path: Path, peak: int, depth: int, colour: bool) -> None:
    source = open_source(deep_set(tmp_path, peak, colour))
    found, notes = depth_of(source, "auto")
    assert found == depth
    assert len(notes) == (depth < 16)
    assert depth_of(source, 8) == (8, [])
    if notes:
        assert f"values up to {peak:,}, so they are read as {depth} bits" in notes[0]


def splits_of(root: Path, peak: int) -> Splits:
    return open_splits(deep_set(root, peak), val="none")


def test_every_way_of_reading_takes_the_same_depth(tmp_path: Path) -> None:
    splits = splits_of(tmp_path, 4095)
    assert splits.test is not None
    wanted = [value * 255 / 4095 for value in (1801, 1802)]
    request = Request.evaluation(8, 0, splits.test.ids_M)
    reads = ReadSettings(depth=12)
    ways = (
        ImageData(splits.test, reads=reads),
        ImageData(splits.test, ViewSettings(crop=RandomResizedCrop()), reads=reads),
        ImageData(splits.test, reads=reads, loader=Loader(0)),
    )
    batches = [next(iter(data.batches([request]))) for data in ways]
    chunk = next(once([splits.test], 8, depth=12)).batch
    assert chunk is not None
    for batch in (*batches, chunk):
        levels = (torch.as_tensor(batch.inputs)[:, 0, 4, 4] * 255).round().tolist()
        assert levels == [round(value) for value in wanted]


def test_only_sets_that_are_read_in_another_way_change_their_digest(tmp_path: Path) -> None:
    recipe = parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}})
    narrow, full = (splits_of(tmp_path / str(peak), peak) for peak in (4095, 65_535))

    def digest(splits: Splits, asked: str | int = "auto") -> str:
        changed = recipe.model_copy(update={"data": recipe.data.model_copy(update={"depth": asked})})
        return digest_of(changed, Facts(data_facts(splits, asked), ModelFacts({}, 0, 0)), "")

    assert digest(narrow) != digest(narrow, 16)
    assert digest(narrow) == digest(narrow, 12)
    assert digest(full) == digest(full, 16)


def test_data_check_names_a_narrow_range_and_calls_nothing_identical_that_is_not(tmp_path: Path) -> None:
    found = findings(deep_set(tmp_path, 4095))
    (narrow,) = [each for each in found if each.code == "narrow-range"]
    assert narrow.path == "train/b/7.png"
    assert "the largest value of 15 images is 4,095, so they are read as 12 bits" in narrow.reason
    assert {each.code for each in found} <= {"narrow-range", "16-bit", "not-rgb"}
    wide = findings(deep_set(tmp_path / "wide", 40_000))
    assert "narrow-range" not in {each.code for each in wide}


def test_a_model_keeps_the_depth_of_its_set(tmp_path: Path) -> None:
    """A brighter image of one's own is read as those of training were, not by its own range."""
    import fewer
    from fewer.data.listing.files import files_of
    from fewer.inference.loaded import load_published
    from fewer.inference.predict import predict

    content = {
        "data": {"source": deep_set(tmp_path / "d", 4095), "val": "none"},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"batch_size": 6, "epochs": 1},
        "out": {"plots": False, "previews": False},
    }
    fewer.fit(parse_recipe(content), tmp_path / "run")
    handed = load_published(tmp_path / "run")
    assert handed.about.depth == 12
    Image.new("L", (32, 32), 120).save(tmp_path / "bytes.png")
    for name, value in (("deep", 120 * 4095 // 255), ("dark", 120)):
        (tmp_path / f"{name}.png").write_bytes(png16(np.full((32, 32), value, np.uint16)))
    found = predict(handed, files_of(tmp_path / f"{name}.png" for name in ("bytes", "deep", "dark")))
    same, deep, dark = (dict(each.answer)[0] for each in found)
    assert deep == pytest.approx(same, abs=1e-5)
    assert abs(dark - same) > 1e-3
