"""Lists of another source's images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fewer.core.errors import DataError
from fewer.data.sources import open_source
from zoo import encoded, picture, written


@pytest.fixture
def home(tmp_path: Path) -> Path:
    files = {f"{label}/{number}.png": encoded(picture(number)) for label in "abc" for number in range(3)}
    written(tmp_path / "photos", files)
    lists = {"train.csv": b"file,class\nb/2.png,b\na/0.png,a\n", "val.csv": b"class,file\na,a/1.png\n"}
    about = json.dumps({"source": f"folder:{tmp_path}/photos"}).encode()
    return written(tmp_path / "lists", {**lists, "split.json": about})


def test_what_is_listed_is_read_where_it_lies(home: Path) -> None:
    source, whole = open_source(f"lists:{home}"), open_source(f"folder:{home.parent}/photos")
    assert list(source.names) == ["a/0.png", "a/1.png", "b/2.png"]
    assert source.classes == ["a", "b"], "a class without an image is none"
    assert source.labels.tolist() == [0, 0, 1]
    assert {part: ids.tolist() for part, ids in source.parts.items()} == {"train": [0, 2], "val": [1]}
    assert source.read(2) == whole.read(5)
    assert source.stamp(2) == whole.stamp(5)
    assert source.sizes.tolist() == [len(source.read(id)) for id in range(3)]


@pytest.mark.parametrize(
    ("file", "content", "part"),
    [
        ("train.csv", "file,class\na/9.png,a\n", "'a/9.png' is not in folder:"),
        ("train.csv", "file,class\na/0.png,b\n", "is of class 'a' there, not 'b'"),
        ("val.csv", "file,class\na/0.png,a\n", "listed for the second time .first in train.csv."),
        ("train.csv", "file\na/0.png\n", "there is no column 'class'"),
        ("split.json", "{}", "split.json names no source"),
        ("split.json", '{"source": "lists:x"}', "names no source that images lie in, but 'lists:x'"),
        ("split.json", '{"source": "folder:/none"}', "/none does not exist"),
    ],
)
def test_a_wrong_list_says_what_is_wrong(home: Path, file: str, content: str, part: str) -> None:
    (home / file).write_text(content)
    with pytest.raises(DataError, match=part):
        open_source(f"lists:{home}")


def test_a_folder_without_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"split.json cannot be read.*fewer data split --as lists"):
        open_source(f"lists:{tmp_path}")
