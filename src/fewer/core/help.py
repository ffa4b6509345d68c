"""The help of keys: what the docstring below each of a section's keys says."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from functools import cache
from itertools import pairwise

from pydantic import BaseModel


def help_of(section: type[BaseModel]) -> dict[str, str]:
    """The docstring of each key that has one, those of base classes included.

    They are read from the source when they are asked for: pydantic would read them whenever a class is made, which
    takes a quarter of the time in which a recipe is checked.
    """
    found: dict[str, str] = {}
    for each in reversed(section.__mro__):
        found.update(_own_help(each))
    return {key: found[key] for key in section.model_fields if key in found}


@cache
def _own_help(section: type) -> Mapping[str, str]:
    """The docstrings of the keys that a class adds itself."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    except (OSError, TypeError, ValueError, SyntaxError):
        return {}  # a class that was put together at run time
    found: dict[str, str] = {}
    for key, text in pairwise(tree.body if isinstance(tree, ast.ClassDef) else []):
        is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name) and is_text:
            found[key.target.id] = inspect.cleandoc(str(text.value.value))  # type: ignore[attr-defined]
    return found
