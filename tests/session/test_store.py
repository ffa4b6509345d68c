"""Runs whose training images come from a store: found by themselves, noted, resumed bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fewer.core.errors import DataError, FewerError, RecipeError, Stopped
from fewer.data.pictures.build import Order, build
from fewer.data.pictures.sources import default_path, stores_folder
from fewer.data.sources import open_source
from fewer.recipe.parse import load_recipe, parse_recipe
from fewer.session.build import make_plan, open_data
from fewer.session.fit import fit, resume
from fewer.session.progress import Silent
from fewer.testing.harness import one_thread
from image_files import write_photo


class Stopping(Silent):
    """A display that asks the run to stop behind the second batch."""

    left = 2

    def row(self, row: object, session: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise Stopped("stopped", 75)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for number in range(16):
        write_photo(root / "ab"[number % 2] / f"{number}.jpg", 90 + 5 * number, 160 - 4 * number)
    return root


@pytest.fixture
def content(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return {
        "data": {"source": f"folder:{photos}", "test": "none", "val": "20%", "processes": 1, "cache": "no"},
        "augment": {"crop": "random_resized", "crop_scale": [0.35, 1.0]},
        "model": {"name": "lenet5", "width": 0.05},
        "train": {"batch_size": 4, "precision": "fp32"},
        "out": {"checkpoint_every": "1step", "plots": False, "previews": False},
        "stages": [{"epochs": 1, "side_px": 16}, {"epochs": 1, "side_px": 24}],
    }


def built(content: dict[str, Any], side_px: int, form: str = "raw") -> Path:
    source = open_source(content["data"]["source"])
    return build(Order(source, side_px, default_path(source, side_px), form, cache=False))[0].path


def planned(content: dict[str, Any], **data: Any) -> Any:
    recipe = parse_recipe({**content, "data": {**content["data"], **data}})
    return make_plan(recipe, open_data(recipe))


def test_a_store_that_suits_is_found_noted_and_in_the_digest(content: dict[str, Any]) -> None:
    plain = planned(content)
    assert plain.facts.data.store is None
    assert plain.recipe.data.store == "none", "a resumed run keeps what auto became"
    built(content, 16)
    small = planned(content)
    assert small.digest == plain.digest
    assert any("16 px, too small for this recipe, which needs 32 px" in note for note in small.notes)
    path = built(content, 32)
    built(content, 48)
    found = planned(content)
    assert found.facts.data.store.path == str(path), "the smallest that is large enough"
    assert any(f"come from the store {path}: shorter sides up to 32 px, uncompressed" in note for note in found.notes)
    assert found.recipe.data.store == str(stores_folder())
    assert not found.loading.in_memory
    assert found.digest != plain.digest
    assert planned(content, store=str(path)).digest == found.digest, "wherever it lies"
    assert planned(content, store="none").digest == plain.digest
    path.write_bytes(path.read_bytes()[:-4])
    other = planned(content)
    assert any("it is cut off" in note and "read from their files" in note for note in other.notes)
    assert other.facts.data.store.side_px == 48
    with pytest.raises(DataError, match="it is cut off"):
        planned(content, store=str(path))


def test_a_store_that_is_asked_for_must_be_of_these_images(content: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'data.store = ".*": holds no store of folder:'):
        planned(content, store=str(tmp_path))
    path = built(content, 16)
    plan = planned(content, store=str(path))
    assert any("this recipe would take 32 px" in note for note in plan.notes)
    with pytest.raises(DataError, match="a store of other images"):
        planned({**content, "data": {**content["data"], "source": "digits"}}, store=str(path))


def test_a_run_on_a_store_resumes_bit_for_bit_and_refuses_other_pictures(
    content: dict[str, Any], tmp_path: Path
) -> None:
    path = built(content, 32)
    recipe = parse_recipe(content)
    whole = fit(recipe, tmp_path / "whole")
    with pytest.raises(Stopped):
        fit(recipe, tmp_path / "run", display=Stopping())
    assert load_recipe(tmp_path / "run" / "recipe.resolved.toml").data.store == str(stores_folder())
    kept = path.read_bytes()
    path.unlink()
    with pytest.raises(FewerError, match="holds no store of"):
        resume(tmp_path / "run")
    built(content, 48)
    with pytest.raises(RecipeError, match=r"began with .* a store of 32 px \(raw\), and now .* a store of 48 px"):
        resume(tmp_path / "run")
    path.write_bytes(kept)
    assert resume(tmp_path / "run")["state"] == whole["state"]
    low, high = (
        (whole["predicted"]["samples_decoded"],) * 2
        if not isinstance(whole["predicted"]["samples_decoded"], list)
        else whole["predicted"]["samples_decoded"]
    )
    assert low <= whole["ledger"]["samples_decoded"] <= high


def test_a_run_that_began_with_files_does_not_go_on_with_a_store(content: dict[str, Any], tmp_path: Path) -> None:
    recipe = parse_recipe(content)
    whole = fit(recipe, tmp_path / "whole")
    with pytest.raises(Stopped):
        fit(recipe, tmp_path / "run", display=Stopping())
    built(content, 32)
    assert resume(tmp_path / "run")["state"] == whole["state"]
    assert fit(recipe, tmp_path / "other")["state"] != whole["state"]
