"""A split on the disk: folders of links or copies, or lists; made beside its place, checked by hash, then moved there.

Names of classes and files come from somewhere else: only their last part becomes a path, and nothing is overwritten.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from fewer.core.errors import DataError, RecipeError
from fewer.data.listing import fingerprint
from fewer.data.sources import Source, open_source
from fewer.data.sources.lists import ABOUT, COLUMNS, label_of
from fewer.inspection.new_folder import beside

Form = Literal["links", "copies", "lists"]


def form_for(source: Source, asked: str) -> Form:
    """Links where images are files of their own, lists elsewhere; or what is asked for, if the source allows it.

    Raises:
        RecipeError: It does not.
    """
    if source.annotations != "classes":
        if asked in ("auto", "lists"):
            return "lists"
        raise RecipeError(
            f"--as {asked}: {source.name} has {source.annotations}, and folders of classes have none; fix: --as lists"
        )
    has_files = os.path.isdir(source.location) and len(source) > 0 and os.path.isfile(_path(source, 0))
    if asked == "auto":
        return "links" if has_files else "lists"
    if asked == "links" and not has_files:
        raise RecipeError(f"--as links: {source.name} holds no files that can be linked to; fix: --as copies or lists")
    if asked == "copies" and not isinstance(source.read(0), bytes):
        raise RecipeError(f"--as copies: {source.name} holds pixels, no files that can be copied; fix: --as lists")
    return asked  # type: ignore[return-value]


def write(
    source: Source,
    split_of: Mapping[int, str],
    content: Mapping[int, bytes],
    out: Path,
    form: Form,
    about: dict[str, Any],
) -> str:
    """Writes a split and checks it.

    Args:
        source: The images.
        split_of: The split of each id that is in one.
        content: Content hash of each of these (blake2b, 16 bytes).
        out: The folder, which is empty or does not exist.
        form: What to write.
        about: What `split.json` says.

    Returns:
        The source that `fewer train` takes.

    Raises:
        DataError: What was written is not what was meant, or an image lies in two splits.
        ResourceError: It cannot be written.
    """
    kind = "lists" if form == "lists" else "folder"
    with beside(out) as folder:
        (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        if form == "lists":
            _write_lists(source, split_of, folder)
        else:
            _write_files(source, split_of, folder, form)
        _check(open_source(f"{kind}:{folder}"), split_of, content)
    return f"{kind}:{out}"


def _path(source: Source, id: int) -> str:
    return f"{source.location}/{source.names[id]}"


def _write_lists(source: Source, split_of: Mapping[int, str], folder: Path) -> None:
    rows: dict[str, list[tuple[str, str]]] = {}
    for id, split in sorted(split_of.items()):
        rows.setdefault(split, []).append((source.names[id], label_of(source, id)))
    for split, listed in rows.items():
        try:
            with open(folder / f"{split}.csv", "x", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([COLUMNS, *listed])
        except UnicodeEncodeError:
            raise DataError(f"{source.name}: a file's name is no UTF-8 text; fix: rename it, or --as links") from None


def _write_files(source: Source, split_of: Mapping[int, str], folder: Path, form: Form) -> None:
    taken: set[str] = set()
    for id, split in sorted(split_of.items()):
        label = source.classes[int(source.labels[id])]
        if label in ("", ".", "..") or "/" in label or "\0" in label:
            raise DataError(f"{source.name}: class {label!r} cannot be the name of a folder; fix: --as lists")
        holder = folder / split / label
        holder.mkdir(parents=True, exist_ok=True)
        path = _free(f"{holder}/{source.names[id].rpartition('/')[2]}", taken)
        if form == "links":
            os.symlink(_path(source, id), path)
        else:
            with open(path, "xb") as file:
                file.write(bytes(source.read(id)))


def _free(path: str, taken: set[str]) -> str:
    """The path, or one with a number where folders of a class held files of one name; case does not tell them apart."""
    stem, ending = os.path.splitext(path)
    number, found = 1, path
    while found.lower() in taken:
        number += 1
        found = f"{stem}-{number}{ending}"
    taken.add(found.lower())
    return found


def _check(written: Source, split_of: Mapping[int, str], content: Mapping[int, bytes]) -> None:
    """Reads all that was written, as training will: each image in its split, and none in two.

    Raises:
        DataError: It is not so.
    """
    hashes = fingerprint.hashes(written, cache=False)
    meant, found = Counter((split, content[id]) for id, split in split_of.items()), Counter[tuple[str, bytes]]()
    for split, ids in written.parts.items():
        found.update((split, hashes[id]) for id in ids.tolist())
    if meant != found:
        raise DataError(
            f"{written.name}: {(meant - found).total():,} images are not in the split as they were read before; fix: "
            "run the command again once nothing else changes the images"
        )
    if leaks := len(found) - len({hash for _, hash in found}):
        raise DataError(f"{written.name}: {leaks:,} images lie in two splits; fix: report this as a bug")
