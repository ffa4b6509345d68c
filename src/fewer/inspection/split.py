"""`fewer data split`: reads all images of a source, finds what belongs together, and writes a split.

N: images that decode.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fewer.core.errors import DataError, RecipeError
from fewer.data.annotations.label_csv import read_columns
from fewer.data.annotations.paths import below_train, ids_of
from fewer.data.listing.class_folders import DEEPEST, ClassLevel
from fewer.data.listing.presence import strata_of
from fewer.data.sources import Source, absolute, has_class_folders, open_source
from fewer.inspection.duplicates import copies
from fewer.inspection.inventory import ALL, Inventory, Part
from fewer.inspection.looks import Ids
from fewer.inspection.new_folder import require_free
from fewer.inspection.scan import scan
from fewer.inspection.split_writer import form_for, write
from fewer.inspection.splitting import Sizes, assigned, united

NEAR = "near-duplicates"
KEY = "file"  # the column of a CSV of groups that names images

Edges = tuple[Ids, Ids]


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        source: The text that names the images.
        sizes: How large each split is meant to be.
        out: The folder to write.
        seed: Of the lots.
        form: "links", "copies", "lists" or "auto".
        groups: What stays together besides equal images: `NEAR`, or `CSV:COLUMN`.
        pool: Whether a source that is split already is split anew.
        class_level: Which folder is the class, where folders lie in folders, as `data.class_level` says it.
    """

    source: str
    sizes: Sizes
    out: Path
    seed: int = 0
    form: str = "auto"
    groups: Sequence[str] = ()
    pool: bool = False
    class_level: ClassLevel = "auto"


def split(
    wanted: Wanted, processes: int | None = None, on_progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Splits a source; what was done, as one JSON document.

    Raises:
        DataError: The source or a CSV cannot be read, or a split would be empty.
        RecipeError: What is asked for cannot be done.
        ResourceError: The split cannot be written.
    """
    require_free(wanted.out)
    text = absolute(wanted.source, Path.cwd())
    source, notes = _opened(wanted, text)
    if source.parts and not wanted.pool:
        raise RecipeError(
            f"{wanted.source}: is split already ({', '.join(source.parts)}); allowed: images that are not; fix: the "
            "folder of one split alone, or --pool to split all of them anew"
        )
    form, part = form_for(source, wanted.form), _whole(source)
    facts = scan(Inventory([part]), processes, on_progress)
    found = copies([part], facts)
    ids = np.array([at for _, at in found.where], np.int64)
    if not len(ids):
        raise DataError(f"{wanted.source}: no image decodes; fix: `fewer data check` says why")
    edges: list[Edges] = [(np.arange(len(ids)), found.first)]
    for group in wanted.groups:
        edges.append((found.one, found.other) if group == NEAR else _by_csv(group, source, ids, notes))
    group_N = united(len(ids), edges)
    names = [source.names[id] for id in ids.tolist()]
    shown = strata_of("auto", cache=True)(source, ids)
    label_M = source.labels[ids] if shown is None else shown
    splits = assigned(names, label_M, group_N, wanted.sizes.shares(len(ids)), wanted.seed)
    split_of = {id: name for id, name in zip(ids.tolist(), splits, strict=True) if name}
    content = {id: facts[0][id].bytes_hash for id in split_of}
    about = _about(wanted, text, source, split_of, form) | {
        "groups_of_several": int((np.unique(group_N, return_counts=True)[1] > 1).sum()),
        "damaged": len(source) - len(ids),
        "left_over": len(ids) - len(split_of),
        "notes": notes,
    }
    made = write(source, split_of, content, wanted.out, form, about)
    return about | {"out": made, "train": shlex.join(["fewer", "train", made])}


def class_level(text: str) -> ClassLevel:
    """Reads what `--class-level` says: a number of 1 to 20, "auto" or "innermost".

    Raises:
        RecipeError: It is none of these.
    """
    if text in ("auto", "innermost"):
        return text  # type: ignore[return-value]
    if not text.isdecimal() or not 1 <= int(text) <= DEEPEST:
        raise RecipeError(
            f'--class-level {text}: allowed: 1 to {DEEPEST}, "auto" or "innermost"; fix: 1 for the outermost folder'
        )
    return int(text)


def _opened(wanted: Wanted, text: str) -> tuple[Source, list[str]]:
    """The source, and its notes, in the words of the command.

    Raises:
        DataError: It cannot be read, or which folder is the class has several answers.
        RecipeError: It has no class folders to choose from.
    """
    if isinstance(wanted.class_level, int) and not has_class_folders(text):
        raise RecipeError(
            f"--class-level {wanted.class_level}: only sources of class folders take it (folder:PATH, tar:PATH); fix: "
            "leave it out"
        )
    try:
        source = open_source(text, wanted.class_level)
    except DataError as error:
        raise DataError(_of_command(str(error))) from None
    return source, [_of_command(note) for note in source.notes]


def _of_command(text: str) -> str:
    """A text about a recipe's key, as it is about the command's option."""
    words = {"data.class_level = ": "--class-level ", "data.class_level": "--class-level", "data.source = ": "SOURCE "}
    for key, word in words.items():
        text = text.replace(key, word)
    return text


def _whole(source: Source) -> Part:
    labels = [source.classes[i] for i in source.labels.tolist()]
    return Part(ALL, source.name, list(source.names), labels, source.sizes.tolist(), source.read)


def _by_csv(text: str, source: Source, ids: Ids, notes: list[str]) -> Edges:
    """Pairs of images for which a CSV has the same value, each image with the first of its group.

    Raises:
        RecipeError: The text names no file and column.
        DataError: The file cannot be read, or names images that are not there, or one twice with different values.
    """
    path, _, column = text.rpartition(":")
    if not path or not column:
        raise RecipeError(f'--group {text}: allowed: "{NEAR}", or CSV:COLUMN; fix: write it like groups.csv:patient')
    id_of = {below_train(name): id for id, name in enumerate(source.names)}
    files, values = read_columns(path, KEY, column, "--group CSV:COLUMN")
    at_of = {id: at for at, id in enumerate(ids.tolist())}
    group_of: dict[int, str] = {}
    for file, id, value in zip(files, ids_of(files, id_of, source.location), values, strict=True):
        if id < 0:
            raise DataError(
                f"{path}: {file!r} is no image of {source.name}; allowed: paths inside it, such as "
                f"{source.names[0]!r}; fix: mend the row"
            )
        if group_of.setdefault(id, value) != value:
            raise DataError(f"{path}: {file!r} is in two groups, {group_of[id]!r} and {value!r}; fix: mend the row")
    first: dict[str, int] = {}
    grouped = [(at_of[id], value) for id, value in sorted(group_of.items()) if value and id in at_of]
    ones = [first.setdefault(value, at) for at, value in grouped]
    if alone := len(ids) - len(grouped):
        notes.append(f"{alone:,} images have no {column} in {path}, and are groups of their own")
    return np.array(ones, np.int64), np.array([at for at, _ in grouped], np.int64)


def _about(wanted: Wanted, text: str, source: Source, split_of: dict[int, str], form: str) -> dict[str, Any]:
    counts = Counter(split_of.values())
    has_classes = source.annotations == "classes"
    label_of = {id: source.classes[int(source.labels[id])] for id in (split_of if has_classes else ())}
    by_class = Counter((split_of[id], label) for id, label in label_of.items())
    return {
        "schema": 1,
        "source": text,
        wanted.sizes.kind: wanted.sizes.of,
        "class_level": wanted.class_level,
        "seed": wanted.seed,
        "group": list(wanted.groups),
        "as": form,
        "images": {split: counts[split] for split in wanted.sizes.of},
        "classes": {
            label: {split: by_class[split, label] for split in wanted.sizes.of}
            for label in sorted({*label_of.values()})
        },
    }
