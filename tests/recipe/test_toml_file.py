"""TOML files as editors save them, and the cause where one cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewer.core.errors import RecipeError
from fewer.recipe.parse import load_recipe, parse_recipe

RECIPE = '[data]\nsource = "digits"\n[model]\nname = "lenet5"\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_recipe_is_read_with_and_without_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "r.toml").write_bytes(RECIPE.replace("\n", "\r\n").encode(encoding))
    assert load_recipe(tmp_path / "r.toml").data.source == "digits"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (r'source = "folder:C:\Users\me"', r"forward slashes: source = 'folder:C:\Users\me'"),
        (r'source = "folder:..\p"', r"forward slashes: source = 'folder:..\p'"),
        (r'source = "folder:C:\temp"', "holds a control character"),
        (r"source = 'folder:..\p'", 'folders are separated by slashes here; write "folder:../p"'),
        ("source: digits", "this looks like YAML"),
        ("source = digits", "strings need quotes"),
    ],
)
def test_the_cause_is_named_with_the_line_to_write(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "r.toml").write_text(f'[data]\n{line}\n[model]\nname = "lenet5"\n')
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "r.toml")
    (problem,) = caught.value.problems
    assert said in problem
    assert "r.toml" in problem


def test_a_path_that_is_there_may_hold_what_it_likes(tmp_path: Path) -> None:
    (tmp_path / "a\tb\\c").mkdir()
    content = {"data": {"source": f"folder:{tmp_path}/a\tb\\c"}, "model": {"name": "lenet5"}}
    assert parse_recipe(content).data.source.endswith("a\tb\\c")
