"""Relative paths: those in a file start at its folder, typed ones at the current folder; a bare path is a source."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewer.core.errors import RecipeError
from fewer.recipe.parse import load_recipe, parse_recipe
from fewer.recipe.paths import all_absolute

RECIPE = """[data]
source = "photos"
test = "folder:photos/val"
labels = { csv = "l.csv", column = "c" }
[model]
name = "lenet5"
weights = "w.pt"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe in a folder of its own, photos beside it and in the current folder."""
    for folder in ("recipes/photos/val", "here/photos/val", "home/photos"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "recipes" / "r.toml").write_text(RECIPE)
    (tmp_path / "here" / "x.tar").touch()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def test_paths_in_a_recipe_start_at_its_folder(project: Path) -> None:
    recipe = load_recipe("../recipes/r.toml")
    assert recipe.data.source == f"folder:{project}/recipes/photos"
    assert recipe.data.test == f"folder:{project}/recipes/photos/val"
    assert recipe.data.labels is not None
    assert recipe.data.labels.csv == f"{project}/recipes/l.csv"
    assert recipe.model.weights == f"{project}/recipes/w.pt"


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("photos/val", "folder:{}/here/photos/val"), ("folder:photos", "folder:{}/here/photos"),
        ("~/photos", "folder:{}/home/photos"), ("folder:~/photos", "folder:{}/home/photos"),
        ("x.tar", "tar:{}/here/x.tar"), ("../recipes/photos", "folder:{}/recipes/photos"), ("20%", "20%"),
        ("none", "none"), ("digits", "digits"),
    ],
)  # fmt: skip
def test_typed_paths_start_at_the_current_folder(project: Path, typed: str, wanted: str) -> None:
    assert load_recipe("../recipes/r.toml", [f"data.test={typed}"]).data.test == wanted.format(project)


def test_every_key_of_a_path_follows_the_rule(project: Path) -> None:
    typed = ["data.labels.csv=m.csv", "model.weights=v.pt", "data.val=photos", 'model={name="lenet5", weights="u.pt"}']
    recipe = load_recipe("../recipes/r.toml", typed)
    assert recipe.data.labels is not None
    assert (recipe.data.labels.csv, recipe.data.val) == (f"{project}/here/m.csv", f"folder:{project}/here/photos")
    assert recipe.model.weights == f"{project}/here/u.pt"
    table = {"select": {"method": "rho", "reference": "runs/a"}, "data": {"val": "5%", "labels": {"csv": "a.csv"}}}
    assert all_absolute(table, Path("/x")) == {
        "select": {"method": "rho", "reference": "/x/runs/a"},
        "data": {"val": "5%", "labels": {"csv": "/x/a.csv"}},
    }


def test_a_path_where_nothing_lies_is_called_so(project: Path) -> None:
    with pytest.raises(RecipeError, match=r'data.test = "photos/vall": no folder or tar lies there'):
        load_recipe("../recipes/r.toml", ["data.test=photos/vall"])
    with pytest.raises(RecipeError, match=r'data.val = "often": give a share'):
        parse_recipe({"data": {"source": "digits", "val": "often"}, "model": {"name": "lenet5"}})
