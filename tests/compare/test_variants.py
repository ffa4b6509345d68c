"""Variants of a recipe: axes, files, and keys that not every method has."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewer.compare.variants import Base, changes_of, split_values, variants_of
from fewer.core.errors import RecipeError


def test_values_are_cut_at_commas_outside_of_brackets_and_quotes() -> None:
    assert list(split_values("0.3, 0.5")) == ["0.3", "0.5"]
    assert list(split_values('[0.1,1.0],{a=[1,2]},"x,y"')) == ["[0.1,1.0]", "{a=[1,2]}", '"x,y"']


def test_axes_make_a_grid_and_a_file_is_one_axis_more(recipe: Path, tmp_path: Path) -> None:
    file = tmp_path / "v.toml"
    file.write_text('[variants.mine]\nselect.method = "dbpd"\n')
    changes = changes_of(["select.threshold=0.3,0.5", "train.lr=0.1"], file)
    _, variants = variants_of(Base.read(recipe), changes)
    assert [variant.name for variant in variants] == ["mine, threshold=0.3, lr=0.1", "mine, threshold=0.5, lr=0.1"]
    assert dict(variants[1].changes) == {"select.method": "dbpd", "select.threshold": 0.5, "train.lr": 0.1}
    assert variants[1].recipe.train.lr == 0.1


def test_a_method_takes_the_shared_keys_that_it_has(recipe: Path) -> None:
    """`select.threshold` is dbpd's; random goes without, and says so."""
    base = Base.read(recipe, ["select.threshold=0.4", "select.revision=1ep"])
    plain, variants = variants_of(base, changes_of(["select.method=dbpd,random"], None))
    dbpd, random = (variant.recipe.select.model_dump(mode="json") for variant in variants)
    assert (dbpd["threshold"], dbpd["revision"], random["revision"]) == (0.4, "1ep", "1ep")
    assert [variant.left_out for variant in variants] == [(), ("select.threshold",)]
    assert plain.recipe.select.model_dump(mode="json") == {"method": "full", "revision": "0ep"}


def test_a_recipe_by_itself_is_compared_with_plain_training(recipe: Path) -> None:
    plain, (variant,) = variants_of(Base.read(recipe, ["select.method=infobatch"]), [])
    assert variant.name == "infobatch"
    assert plain.name == "plain"


def test_problems_of_variants_in_a_file_name_file_and_variant(recipe: Path, tmp_path: Path) -> None:
    file = tmp_path / "v.toml"
    file.write_text('[variants.a]\nselect.method = "dbpd"\nselect.treshold = 1\n[variants.b]\ntrain.lr = "x"\n')
    with pytest.raises(RecipeError) as caught:
        variants_of(Base.read(recipe), changes_of([], file))
    first, second = caught.value.problems
    assert f'{file}, variant "a": unknown key "select.treshold"; did you mean "select.threshold"?' in first
    assert f'{file}, variant "b": train.lr' in second
