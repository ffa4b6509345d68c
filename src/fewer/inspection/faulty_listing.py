"""Files of sources that training refuses, listed as far as they can be."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from fewer.data.listing.layout import is_image
from fewer.data.listing.left_out import LeftOut, is_run, is_visible
from fewer.data.listing.tar import members
from fewer.data.listing.walk import is_folder
from fewer.data.sources.tar import images_of
from fewer.inspection.findings import Finding


def packed(path: Path) -> tuple[dict[str, int], list[str], LeftOut, Callable[[str], bytes]]:
    """Files with their sizes, folders, what is left out, and a reader of a tar whose headers are sound.

    Raises:
        DataError: They are not.
    """
    with path.open("rb") as file:
        files, folders, left_out = images_of(members(file.fileno(), str(path)))

    def read(name: str) -> bytes:
        offset, size = files[name]
        with path.open("rb") as file:
            return os.pread(file.fileno(), size, offset)

    return {name: size for name, (_, size) in files.items()}, folders, left_out, read


def walked(root: str, text: str, left_out: LeftOut, findings: list[Finding]) -> tuple[dict[str, int], list[str]]:
    """Files with their sizes, and folders; what cannot be listed is a finding."""
    sizes: dict[str, int] = {}
    folders: list[str] = []
    waiting: list[tuple[str, tuple[str, ...]]] = [("", ())]
    while waiting:
        below, above = waiting.pop()
        here = os.path.realpath(f"{root}/{below}")
        if here in above:
            findings.append(Finding("link-loop", "", below.rstrip("/"), f"links back to {here}", text))
            folders.remove(below.rstrip("/"))
            continue
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            findings.append(Finding("unreadable-folder", "", below or ".", error.strerror or str(error), text))
            if below:
                folders.remove(below.rstrip("/"))
            continue
        for entry in entries:
            path = below + entry.name
            if not is_visible(entry.name):
                left_out.add_hidden(path)
            elif is_folder(entry) and is_run(entry.path):
                left_out.runs.add(path)
            elif is_folder(entry):
                folders.append(path)
                waiting.append((path + "/", (*above, here)))
            elif is_image(entry.name):
                _add(entry, path, text, sizes, findings)
            else:
                left_out.add_file(path)
    return sizes, folders


def _add(entry: os.DirEntry[str], path: str, text: str, sizes: dict[str, int], findings: list[Finding]) -> None:
    try:
        status = entry.stat()
    except OSError as error:
        findings.append(Finding("not-a-file", "", path, error.strerror or str(error), text))
        return
    if stat.S_ISREG(status.st_mode):
        sizes[path] = status.st_size
    else:
        findings.append(Finding("not-a-file", "", path, "neither a file nor a folder", text))
