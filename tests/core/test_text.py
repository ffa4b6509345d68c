"""Commands that messages advise."""

from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st

from fewer.core.text import command, quantity


def test_a_path_with_blanks_is_one_word() -> None:
    assert command("fewer", "resume", "runs/digits") == "`fewer resume runs/digits`"
    assert command("fewer", "resume", "my runs/a b") == "`fewer resume 'my runs/a b'`"


def test_one_thing_is_no_plural() -> None:
    assert [quantity(number, "image") for number in (0, 1, 2105)] == ["0 images", "1 image", "2,105 images"]


@given(st.text(st.characters(exclude_characters="\0"), min_size=1))
def test_a_shell_reads_back_every_word(word: str) -> None:
    assert shlex.split(command("fewer", "resume", word)[1:-1]) == ["fewer", "resume", word]
