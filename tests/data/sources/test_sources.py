"""Kinds of sources: found by their files, named in recipes, and free of torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fewer.core.errors import RecipeError
from fewer.data.sources import absolute, is_source, kinds
from fewer.recipe.parse import parse_recipe
from sources import source_refusal


def test_listing_needs_no_torch() -> None:
    code = "import sys, fewer.data.sources; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_kinds_are_found_by_their_files() -> None:
    assert kinds() == [
        *("cifar10", "cifar100", "coco", "digits", "folder", "hf", "idx", "lists", "masks", "s3", "tar", "voc", "yolo")
    ]
    for text in ("digits", "cifar10", "cifar100:x", "folder:x", "hf:a/b:c?label=d", "idx:x"):
        assert is_source(text)
    for kind in ("folder", "tar", "idx", "cifar10", "hf"):
        source_refusal(f"{kind}:/{'x' * 5000}")
    source_refusal("x" * 5000)
    for text in ("", "digit", "digits:x", "folder", "folder:", "hf", "idx", "cifar", "base:x", "unpickle", "download"):
        assert not is_source(text)


def test_recipes_take_every_kind_with_paths_of_their_own_folder(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    for given, wanted in {
        "idx:mnist": f"idx:{tmp_path}/mnist",
        "cifar10": "cifar10",
        "cifar10:here": f"cifar10:{tmp_path}/here",
        "hf:ylecun/mnist": "hf:ylecun/mnist",
        "hf:local?label=x": f"hf:{tmp_path}/local?label=x",
        "hf:./other": f"hf:{tmp_path}/other",
        "5%": "5%",
    }.items():
        assert absolute(given, tmp_path) == wanted
    content = {"data": {"source": "cifar1"}, "model": {"name": "lenet5"}}
    with pytest.raises(RecipeError, match=r'unknown data.source "cifar1"; allowed: .*hf:NAME.*fix: cifar10'):
        parse_recipe(content)
    content["data"] = {"source": "idx:a", "test": "idx:b", "labels": {"csv": "l.csv", "column": "c"}}  # type: ignore[dict-item]
    data = parse_recipe(content, base=tmp_path).data
    assert (data.source, data.test) == (f"idx:{tmp_path}/a", f"idx:{tmp_path}/b")
    assert data.labels is not None
    assert (data.labels.csv, data.labels.key, data.labels.column) == (f"{tmp_path}/l.csv", "file", "c")
