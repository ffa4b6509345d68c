"""The validity cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewer.data.decode import validity
from fewer.data.decode.validity import ValidityCache
from fewer.data.listing import fingerprint
from image_files import all_of, write_images


def test_soundness_is_of_a_content_and_of_the_decoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = all_of(write_images(tmp_path / "images"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = ValidityCache(split.source, cache=True)
    first.add([1, 2])
    first.save()
    assert [ValidityCache(split.source, True).is_sound(i) for i in range(4)] == [False, True, True, False]
    monkeypatch.setattr(validity, "version", lambda _: "another")
    assert not ValidityCache(split.source, True).is_sound(1)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = fingerprint.cache_file(split.source, "sound")
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    assert not ValidityCache(split.source, True).is_sound(1)
