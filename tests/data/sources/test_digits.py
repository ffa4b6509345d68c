"""The bundled digits."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewer.data.sources import open_source
from sources import contents


def test_digits() -> None:
    source = open_source("digits")
    assert len(source) == 1797
    assert source.classes == [str(i) for i in range(10)]
    assert list(source.names) == sorted(source.names)
    image = source.read(0)
    assert image.shape == (8, 8)
    assert max(int(source.read(i).max()) for i in range(20)) == 255
    assert source.native_side_px() == 8


def test_digits_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    by_file = contents(open_source("digits"))
    monkeypatch.setattr(Path, "exists", lambda *_, **__: False)
    assert contents(open_source("digits")) == by_file
