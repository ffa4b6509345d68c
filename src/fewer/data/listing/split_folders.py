"""Names of folders that hold a split, and which folders of a source are its training, validation and test images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fewer.core.errors import DataError

PARTS = {
    **dict.fromkeys(("train", "training", "trainval", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "valset", "dev", "eval"), "val"),
    **dict.fromkeys(("test", "testing", "testset"), "test"),
}
# Folders that say what lies in them rather than of which class it is.
_CONTAINERS = frozenset(("images", "image", "imgs", "img", "jpegimages", "photos", "pictures", "data", "files"))
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


@dataclass
class Layout:
    """The folders that images are taken from.

    Attributes:
        base: Leading folders that everything lies in, ending in `/`; "" for none.
        folders: `train`, `val` and `test` to the folder of each below `base`; empty for a source without splits.
        notes: What the user should know of the choice.
    """

    base: str
    folders: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def part_of(name: str) -> str:
    """The split that a folder's name stands for, such as `Testing`, `TRAIN` or `mydata_train`; "" for none."""
    found = {PARTS[word] for each in _WORD.findall(name) if (word := each.lower()) in PARTS}
    return found.pop() if len(found) == 1 else ""


def is_plain(name: str) -> bool:
    """Whether the name says nothing but a split, in whatever case."""
    return name.lower() in PARTS


def layout_of(source: str, holders: Sequence[str], first: Mapping[str, str], asks: bool) -> Layout:
    """Finds the split folders among those that everything lies in.

    They are the folders below `base` that are called after a split and hold further folders, of which one is for
    training. A folder for validation or test without class folders has no labels, and is left out with a note.

    Args:
        source: What to call the source in messages.
        holders: Folders that hold images themselves, sorted.
        first: The name of one image in each.
        asks: Whether folders that may be splits or classes are refused; else they are classes.

    Raises:
        DataError: What is training and what is test cannot be told, and they might be mixed.
    """
    layout = Layout(base_of(holders))
    below: dict[str, list[str]] = {}
    for holder in holders:
        top, _, rest = holder[len(layout.base) :].partition("/")
        below.setdefault(top, []).append(rest)
    deep = {top for top, rests in below.items() if any(rests)}
    if _has_splits(below, deep):
        for part in ("train", "val", "test"):
            if top := _folder_for(part, source, below, deep):
                layout.folders[part] = top
        _leave_out(layout, below)
        renamed = [f"{top}/ as {part}/" for part, top in layout.folders.items() if top != part]
        if renamed:
            layout.notes.append(f"by their names, {', '.join(renamed)}: taken as splits of the data")
    elif asks:
        _refuse_lone_parts(source, layout.base, below, deep, first)
    _refuse_inner_parts(source, layout, holders)
    return layout


def base_of(holders: Iterable[str], known: frozenset[str] = frozenset()) -> str:
    """The leading folders that all folders of images share, ending in `/`; none of them is called as one of `known`."""
    shared: list[str] | None = None
    for holder in holders:
        above = holder.split("/")[:-1]
        if shared is None:
            shared = above
        common = next((i for i, (a, b) in enumerate(zip(shared, above, strict=False)) if a != b), None)
        shared = shared[: min(len(shared), len(above)) if common is None else common]
        if not shared:
            break
    shared = shared or []
    end = next((i for i, name in enumerate(shared) if name in known), len(shared))
    return "".join(f"{name}/" for name in shared[:end])


def _has_splits(below: Mapping[str, list[str]], deep: set[str]) -> bool:
    """Whether a folder for training is there: plainly so called, or beside one for another split."""
    trains = [top for top in deep if part_of(top) == "train"]
    others = any(part_of(top) in ("val", "test") for top in below)
    return bool(trains) and (others or any(map(is_plain, trains)))


def _folder_for(part: str, source: str, below: Mapping[str, list[str]], deep: set[str]) -> str:
    found = [top for top in below if part_of(top) == part]
    found = [top for top in found if top in deep] or ([] if part == "train" else found)
    if len(plain := [top for top in found if is_plain(top)]) == 1:
        return plain[0]
    if len(found) > 1:
        one, other = sorted(found)[:2]
        raise DataError(
            f"{source}: {one}/ and {other}/ both look like {part} images, and are not mixed; allowed: one folder a "
            f"split; fix: rename one of them, or name each: data.source, data.val and data.test take a folder"
        )
    return found[0] if found else ""


def _leave_out(layout: Layout, below: Mapping[str, list[str]]) -> None:
    """Takes out what is no split, and splits without labels, each with a note."""
    strangers = sorted(below.keys() - set(layout.folders.values()))
    if strangers:
        what = ", ".join(f"{top}/" for top in strangers)
        layout.notes.append(f"left out, being neither train/, val/ nor test/: {what}")
    train = below[layout.folders["train"]]
    start = len(base_of(train))
    classes = {rest[start:].partition("/")[0] for rest in train}
    for part in ("val", "test"):
        top = layout.folders.get(part, "")
        rests = below.get(top, [])
        if len(rests) == 1 and (rests[0] == "" or (rests[0].lower() in _CONTAINERS and rests[0] not in classes)):
            del layout.folders[part]
            where = f"{top}/{rests[0]}".rstrip("/")
            layout.notes.append(
                f"left out: {top}/, whose images lie directly in {where}/, without class folders, and so have no "
                f"labels; sorted into {top}/CLASS/ they would be used"
            )


def _refuse_lone_parts(
    source: str, base: str, below: Mapping[str, list[str]], deep: set[str], first: Mapping[str, str]
) -> None:
    """Folders called after splits where none trains: as classes they would mix test into training."""
    plain = sorted(top for top in below if is_plain(top))
    all_named = all(part_of(top) for top in below) and (len(set(map(part_of, below))) > 1 or len(plain) == len(below))
    flat = [top for top in (plain or sorted(below)) if top not in deep]
    lone = [top for top in plain if top in deep and PARTS[top.lower()] != "train"]
    if not (all_named or lone or len({PARTS[top.lower()] for top in plain}) > 1):
        return
    if flat:
        holder = f"{base}{flat[0]}"
        raise DataError(
            f"{source}: images lie directly in {holder}/ (first: {holder}/{first[holder]}), without class folders, and "
            f"so have no labels; allowed: images in class folders, such as {holder}/cat/1.png; "
            f"fix: move them to class folders, or set data.class_level = 1 if {flat[0]!r} is a class"
        )
    have = ", ".join(f"{top}/" for top in sorted(plain or below))
    raise DataError(
        f"{source}: there is {have} but no train/; fix: name the folder to train on train/, or give its path"
    )


def _refuse_inner_parts(source: str, layout: Layout, holders: Sequence[str]) -> None:
    """Refuses `x/train/cat` and `x/test/cat`, or `cat/train` and `cat/test`: they would mix test into training."""
    starts = {f"{layout.base}{top}/" for top in layout.folders.values()} or {layout.base}
    found: dict[str, str] = {}
    for holder in holders:
        start = next((start for start in starts if f"{holder}/".startswith(start)), None)
        names = holder[len(start) :].split("/") if start is not None else []
        for name in names[len(names) == 1 :]:
            if is_plain(name):
                found.setdefault(PARTS[name.lower()], f"{holder}/"[: f"/{holder}/".index(f"/{name}/") + len(name) + 1])
    others = sorted(found.keys() - {"train"})
    if "train" in found and others:
        raise DataError(
            f"{source}: {found['train']} and {found[others[0]]} lie below other folders; allowed: split folders "
            f"directly in the root or in one leading folder, with the classes inside; fix: move them there, or give "
            f"the path of the folder that holds them"
        )
