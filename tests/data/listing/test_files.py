"""The images below folders."""

from __future__ import annotations

import os
from pathlib import Path

from fewer.data.listing.files import files_of


def test_listing_is_sorted_and_follows_links_but_not_in_circles(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.jpeg", "a/z.webp", "top.bmp", ".git/x.png", "a/readme.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "c").symlink_to(tmp_path / "b")
    found = [os.path.relpath(file.path, tmp_path) for file in files_of([tmp_path, tmp_path / "a" / "readme.md"])]
    assert found == ["a/z.webp", "b/1.jpeg", "b/2.png", "c/1.jpeg", "c/2.png", "top.bmp", "a/readme.md"]


def test_a_link_that_leads_in_a_circle_is_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert [(os.path.basename(file.path), bool(file.fault)) for file in files_of([tmp_path])] == [
        ("a.png", False),
        ("loop.png", True),
    ]
