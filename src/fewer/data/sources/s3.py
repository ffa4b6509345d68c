"""`s3://BUCKET/PREFIX`: class folders, or a tar, in object storage; kept in the cache folder, and read there."""

from __future__ import annotations

from pathlib import Path

from fewer.data.listing.class_folders import ClassLevel
from fewer.data.reading.object_storage import synced
from fewer.data.reading.source import Source
from fewer.data.sources.folder import Folder
from fewer.data.sources.tar import Tar
from fewer.runs.remote.address import parse_address

FORMS = ("s3://BUCKET/PREFIX",)
CLASS_FOLDERS = True


def absolute(place: str, base: Path) -> str:
    """The same place; raises ValueError where it is none."""
    return str(parse_address(f"s3:{place}")).removeprefix("s3:")


def stands_for(place: str) -> str:
    """The kind of source that the same files on this machine would be."""
    return "tar" if place.endswith(".tar") else "folder"


def opened(text: str, place: str, class_level: ClassLevel = "auto") -> Source:
    kind = Tar if stands_for(place) == "tar" else Folder
    return kind(text, str(synced(parse_address(text))), class_level)
