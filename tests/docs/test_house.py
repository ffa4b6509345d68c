"""Facts about the package that anyone can count: its floor, its files, what examples may import."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import fewer
from paths import EXAMPLES

PACKAGE = Path(fewer.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
PUBLIC = ("fewer", "fewer.select", "fewer.select.own_loop", "fewer.sync", "fewer.testing")


def test_the_top_of_the_package_is_small() -> None:
    entries = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 25


def test_no_file_is_longer_than_350_lines() -> None:
    longer = {str(path.relative_to(PACKAGE)) for path in MODULES if len(path.read_text("utf-8").splitlines()) > 350}
    assert longer == set()


def test_no_package_bears_the_name_of_a_public_function() -> None:
    packages = {path.parent.name for path in MODULES if path.name == "__init__.py" and path.parent.parent == PACKAGE}
    assert not packages & set(fewer.__all__)


def test_every_module_says_in_its_first_line_what_it_is() -> None:
    questions = ("What", "Which", "How", "Where", "Whether", "Why", "From", "Looking")
    heads = {path: ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "" for path in MODULES}
    missing = [str(path.relative_to(PACKAGE)) for path, head in heads.items() if not head.strip()]
    assert set(missing) <= {"__main__.py"}
    asking = [str(path.relative_to(PACKAGE)) for path, head in heads.items() if head.split(" ")[0] in questions]
    assert asking == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_examples_import_public_names_alone(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "fewer":
            assert node.module in PUBLIC, f"line {node.lineno}: {node.module} is private"
            public = importlib.import_module(node.module).__all__
            assert {alias.name for alias in node.names} <= set(public), f"line {node.lineno}"
        elif isinstance(node, ast.Import):
            assert all(alias.name in PUBLIC for alias in node.names if alias.name.startswith("fewer"))
