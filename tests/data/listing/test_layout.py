"""Layout of class folders: ids are positions of the sorted paths."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fewer.data.listing.layout import PARTS, arranged, grouped, is_image, is_visible
from sources import NAMES


@given(paths=st.sets(st.tuples(NAMES, NAMES, NAMES), min_size=1, max_size=20))
def test_ids_are_positions_in_the_sorted_paths(paths: set[tuple[str, str, str]]) -> None:
    """However folders and characters sort: "a-b/" lies between "a!/" and "a/"."""
    files = {"/".join(path): (len(path[2]), number) for number, path in enumerate(sorted(paths))}
    assume(PARTS.keys().isdisjoint(name for path in paths for name in path))
    found = arranged("x", grouped(files), ())
    assert list(found.names) == sorted(files)
    assert [tuple(row) for row in found.columns.tolist()] == [files[name] for name in sorted(files)]
    assert [found.classes[label] for label in found.labels] == [name.split("/")[1] for name in sorted(files)]


@pytest.mark.parametrize(
    ("path", "image", "visible"),
    [
        ("a/x.png", True, True), ("a/x.JPG", True, True), ("a/x.txt", False, True), ("a/png", False, True),
        (".a/x.png", True, False), ("a/.x.png", True, False), ("__MACOSX/a/x.png", True, False),
        ("a/x.y.png", True, True),
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
