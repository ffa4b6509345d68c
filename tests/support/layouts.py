"""Layouts for tests: listings of folders with two images each, without a disk."""

from __future__ import annotations

import pytest

from fewer.core.errors import DataError
from fewer.data.listing.class_folders import ClassLevel
from fewer.data.listing.layout import Arranged, arranged, grouped


def listed(*folders: str, class_level: ClassLevel = "auto", empty: tuple[str, ...] = ()) -> Arranged:
    files = {f"{folder}/{i}.png": (i + 1,) for folder in folders for i in range(2)}
    return arranged("folder:x", grouped(files), (*folders, *empty), class_level)


def layout_refusal(*folders: str, class_level: ClassLevel = "auto", empty: tuple[str, ...] = ()) -> str:
    with pytest.raises(DataError) as caught:
        listed(*folders, class_level=class_level, empty=empty)
    assert "fix:" in str(caught.value)
    return str(caught.value)
