"""Names of run folders."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from fewer.core.errors import RecipeError
from fewer.runs.names import free_number, named, numbered, taken


def test_the_first_number_whose_folder_is_free_is_taken(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    assert free_number(photos) == 1
    photos.mkdir()
    assert free_number(photos) == 1, "an empty folder is free"
    (photos / "plan.json").touch()
    assert free_number(photos) == 1, "so is one of a run that never trained"
    (photos / "rows.jsonl").touch()
    assert free_number(photos) == 2
    (tmp_path / "photos-2").write_text("a file")
    assert free_number(photos) == 3
    assert numbered(photos, 1) == photos
    assert numbered(photos, 3) == tmp_path / "photos-3"


def test_a_folder_in_which_a_process_is_about_to_train_is_not_free(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert free_number(tmp_path) == 2
    assert free_number(tmp_path) == 1


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", "/tmp", "a\\b", "a\nb"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(RecipeError, match="--out takes any path"):
        named(name)


def test_the_user_is_told_how_to_go_on_with_the_other() -> None:
    assert named("my photos") == Path("runs/my photos")
    assert "`fewer resume runs/photos`" in taken(Path("runs/photos"))
