"""Tables of a run folder."""

from __future__ import annotations

import pytest

from fewer.runs.record import inert


@pytest.mark.parametrize(
    ("text", "expected"),
    [("=1+2", "'=1+2"), ("-x", "'-x"), ("@a", "'@a"), (" +a", "' +a"), ("cat", "cat"), ("a=b", "a=b"), ("", "")],
)
def test_no_cell_is_a_formula(text: str, expected: str) -> None:
    assert inert(text, "'") == expected
