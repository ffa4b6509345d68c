"""Manifests and markers, as a stranger may have written them."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.runs.remote.layout import (
    Latest,
    Manifest,
    Part,
    as_name,
    is_path,
    part_key,
    read_latest,
    read_manifest,
)

RUN, HASH = "0123456789abcdef" * 2, "ab" * 32
MANIFEST = Manifest(
    RUN, "photos", {"checkpoints/m/w": (Part(HASH, 3), Part(HASH, 0)), "log.txt": ()}, {"checkpoints/best": "m"}
)


def test_what_is_written_is_read() -> None:
    assert read_manifest(MANIFEST.packed()) == MANIFEST
    assert MANIFEST.size_bytes == 3
    latest = Latest(RUN, 3, "00000003-01234567")
    assert read_latest(latest.packed()) == latest


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x", "a/../../x", "a//b", "", ".", "a/.", "a/.ssh", "C:/x", "a\\b", "a\0", "a\n", "x" * 600],
)
def test_a_path_that_could_leave_the_folder_is_no_path(path: str) -> None:
    assert not is_path(path)
    for key in ("files", "links"):
        content = json.loads(MANIFEST.packed())
        content[key][path] = [] if key == "files" else "m"
        with pytest.raises(ValueError, match="not what this program writes"):
            read_manifest(json.dumps(content).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"run": "x"},
        {"run": None},
        {"name": "a/b"},
        {"name": ".."},
        {"files": []},
        {"files": {"a": [["x", 1]]}},
        {"files": {"a": [[HASH, -1]]}},
        {"files": {"a": [[HASH, 1 << 30]]}},
        {"files": {"a": [[HASH, True]]}},
        {"files": {"a": [[HASH]]}},
        {"files": {"a": [], "a/b": []}, "links": {}},
        {"links": {"best": "../m"}},
        {"links": {"best": "/etc"}},
        {"links": {"best": "nowhere"}},
        {"links": {"checkpoints/best": 3}},
    ],
)
def test_a_manifest_of_strange_content_is_refused(change: dict[str, object]) -> None:
    content = {**json.loads(MANIFEST.packed()), **change}
    with pytest.raises(ValueError, match="not what this program writes"):
        read_manifest(json.dumps(content).encode())


@settings(max_examples=30)
@given(st.binary(max_size=40) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_random_content_is_refused(content: bytes | str) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    for read in (read_latest, read_manifest):
        with pytest.raises(ValueError):  # noqa: PT011
            read(data)


@given(st.text(min_size=1))
def test_a_key_holds_plain_signs_only(path: str) -> None:
    assert re.fullmatch(rf"files/[A-Za-z0-9._/-]+/{HASH}", part_key(path, HASH))


@pytest.mark.parametrize("folder", ["resnet: big", "lr:0.1", ".exp", "a\\b", "...", "x" * 900, "rå\n", "photos"])
def test_any_folder_has_a_name_that_a_manifest_can_state(folder: str) -> None:
    name = as_name(folder)
    assert read_manifest(replace(MANIFEST, name=name).packed()).name == name
    assert (name == folder) == is_path(folder)
