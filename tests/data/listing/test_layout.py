"""Layout of class folders: ids are positions of the sorted paths."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fewer.data.listing.layout import arranged, grouped, is_image
from fewer.data.listing.left_out import is_visible
from fewer.data.listing.split_folders import part_of
from sources import NAMES


def is_text(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


@given(paths=st.sets(st.tuples(NAMES, NAMES, NAMES), min_size=1, max_size=20))
def test_ids_are_positions_in_the_sorted_paths(paths: set[tuple[str, str, str]]) -> None:
    """However folders and characters sort: "a-b/" lies between "a!/" and "a/"."""
    files = {"/".join(path): (len(path[2]), number) for number, path in enumerate(sorted(paths))}
    assume(not any(part_of(name) for path in paths for name in path[:2]))
    assume(all(is_text(path[1]) for path in paths))
    found = arranged("x", grouped(files), (), "innermost")
    assert list(found.names) == sorted(files)
    assert [tuple(row) for row in found.columns.tolist()] == [files[name] for name in sorted(files)]
    classes = [normalize("NFC", name.split("/")[1]) for name in sorted(files)]
    assert [normalize("NFC", found.classes[label]) for label in found.labels] == classes


@pytest.mark.parametrize(
    ("path", "image", "visible"),
    [
        ("a/x.png", True, True), ("a/x.JPG", True, True), ("a/x.txt", False, True), ("a/png", False, True),
        (".a/x.png", True, False), ("a/.x.png", True, False), ("__MACOSX/a/x.png", True, False),
        ("a/x.y.png", True, True),
        ("a/@eaDir/x.png/0.jpg", True, False), ("$RECYCLE.BIN/x.png", True, False), ("a/lost+found2/x.png", True, True),
    ],
)  # fmt: skip
def test_images_are_known_by_their_ending_and_hidden_ones_left_out(path: str, image: bool, visible: bool) -> None:
    assert (is_image(path), is_visible(path)) == (image, visible)


def test_the_folder_that_holds_an_image_is_its_class() -> None:
    found = arranged("x", grouped({"test/b/1.png": (5,), "train/a/2.png": (3,), "train/b/0.png": (4,)}), ())
    assert list(found.names) == ["test/b/1.png", "train/a/2.png", "train/b/0.png"]
    assert found.classes == ["a", "b"]
    assert found.labels.tolist() == [1, 0, 1]
    assert {part: ids.tolist() for part, ids in found.parts.items()} == {"test": [0], "train": [1, 2]}
    assert found.columns.tolist() == [[5], [3], [4]]
