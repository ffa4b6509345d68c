"""The six laws on a fixed draw of random recipes; `python -m fewer.testing.laws 100` draws more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fewer import select
from fewer.session.build import Session
from fewer.testing import laws
from fewer.testing.draw import draw_recipe
from fewer.testing.harness import one_thread, trained

DRAW = range(16)  # every selector of the draw once
MORE_RANKS = {3: 3, 6: 4}  # from three on, samples have more than one other rank to go to


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(params=DRAW, scope="module")
def content(request: pytest.FixtureRequest) -> dict[str, Any]:
    return draw_recipe(request.param)


@pytest.fixture(scope="module")
def unstopped(content: dict[str, Any]) -> Session:
    return trained(content)


def test_every_method_that_has_a_neutral_setting_is_among_those_tried() -> None:
    """`full` is what they are compared with; two are neutral on classes of equal size: test_class_balanced.py."""
    told = {name for name in select.names() if "Neutral" in str(select.card(name))}
    assert told - {case["method"] for case in select.METHODS.neutral()} == {"full", "class_balanced", "repeat_factor"}


def test_off_is_plain(content: dict[str, Any]) -> None:
    laws.off_is_plain(content)


def test_looking_changes_nothing(content: dict[str, Any], unstopped: Session) -> None:
    laws.looking_changes_nothing(content, unstopped)


def test_resumed_is_never_stopped(content: dict[str, Any], unstopped: Session) -> None:
    laws.resumed_is_never_stopped(content, unstopped)


def test_ranks_agree(content: dict[str, Any]) -> None:
    laws.ranks_agree(content, ranks=MORE_RANKS.get(content["train"]["seed"], 2))


def test_two_equal_stages_are_one(content: dict[str, Any]) -> None:
    laws.equal_stages_are_one(content)


def test_the_ledger_says_what_happened(content: dict[str, Any]) -> None:
    laws.ledger_is_what_happened(content)
