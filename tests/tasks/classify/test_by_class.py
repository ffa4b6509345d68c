"""A confusion matrix class by class."""

from __future__ import annotations

import pytest

from fewer.tasks.classify.by_class import by_class, per_class


def test_per_class_by_hand() -> None:
    first, second, absent = per_class([[3, 1, 0], [2, 4, 0], [0, 0, 0]])
    assert (first["images"], first["accuracy"], first["precision"], first["f1"]) == (4, 0.75, 0.6, pytest.approx(6 / 9))
    assert (first["taken_for"], second["taken_for"], absent["taken_for"]) == (1, 0, None)
    assert (absent["accuracy"], absent["precision"], absent["f1"]) == (None, None, None)


def test_names_that_are_numbers_stay_names() -> None:
    columns = by_class({"confusion": [[3, 1], [2, 4]]}, ["0", "1"])
    assert [column.title for column in columns if not column.is_number] == ["class", "taken for"]
    assert [column.cells for column in columns][:3] == [["0", "1"], ["4", "6"], ["75.0%", "66.7%"]]
