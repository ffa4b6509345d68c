"""Sections: the help of their keys."""

from __future__ import annotations

from fewer.core.config import Section
from fewer.core.help import help_of
from fewer.core.sections import section_of
from fewer.recipe.schema import TrainRecipe
from fewer.select import METHODS


class Base(Section):
    first: int = 1
    """Read aloud."""
    bare: int = 2
    second: int = 3
    """Over
    two lines."""


class Derived(Base):
    second: int = 4
    """Its own."""


def test_help_is_the_docstring_of_each_key() -> None:
    assert help_of(Base) == {"first": "Read aloud.", "second": "Over\ntwo lines."}
    assert help_of(Derived) == {"first": "Read aloud.", "second": "Its own."}


def test_composed_sections_and_methods_have_help() -> None:
    """Also those whose class is put together at run time."""
    assert help_of(type(section_of(TrainRecipe)))["epochs"]
    parameters = METHODS.card("dbpd")["parameters"]
    assert all(each["help"] for each in parameters.values()), parameters
