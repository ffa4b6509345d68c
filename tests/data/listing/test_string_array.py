"""Array of strings in one buffer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewer.data.listing.string_array import Names
from sources import NAMES


@given(names=st.lists(NAMES, max_size=30))
def test_names_are_a_sequence_of_strings(names: list[str]) -> None:
    packed = Names(names)
    assert list(packed) == [packed[i] for i in range(len(packed))] == names
    assert packed[-2:] == names[-2:]
    for beyond in (len(names), -len(names) - 1):
        with pytest.raises(IndexError):
            packed[beyond]


def test_undecodable_bytes_of_file_names_come_back() -> None:
    name = b"\xff\xfe.png".decode("utf-8", "surrogateescape")
    assert list(Names([name, "", "é"])) == [name, "", "é"]


def test_slices_are_lists_and_negative_places_count_from_the_end() -> None:
    names = Names(iter(["a", "bb", "ccc", "dddd"]))
    assert (names[-1], names[1:3], names[::-2], names[9:]) == ("dddd", ["bb", "ccc"], ["dddd", "bb"], [])
    assert len(Names()) == 0
