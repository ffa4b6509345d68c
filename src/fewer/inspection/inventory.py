"""Inventory of a source: its images by split, as training lists them, or as far as a faulty source can be listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fewer.core.errors import DataError, RecipeError
from fewer.data.annotations.boxes import Boxes
from fewer.data.decode.decode import Pixels
from fewer.data.listing.class_folders import ClassLevel, classified, empty_classes
from fewer.data.listing.class_summary import class_problem
from fewer.data.listing.layout import arranged, grouped
from fewer.data.listing.left_out import LeftOut
from fewer.data.listing.split_folders import layout_of
from fewer.data.reading.annotated import BoxSource, MaskSource
from fewer.data.sources import SOURCES, Source, is_source, open_source
from fewer.inspection.annotated import BoxPart, MaskPart, annotated, class_images, faults_of
from fewer.inspection.faulty_listing import packed, walked
from fewer.inspection.findings import Finding

ALL = "all"  # the only split of a source without splits
READING = ("class_level", "ignore_index", "difficult")  # keys of [data] that say how a source is read


@dataclass(frozen=True)
class Part:
    """The images of one split.

    Attributes:
        split: `train`, `val`, `test` or `all`.
        source: Name of the source that they lie in.
        names: Their paths inside it.
        labels: Their classes; "" for images with boxes or masks.
        sizes: Bytes of each file.
        read: Gives bytes or pixels by position in this part.
        annotated: Their boxes or masks, if they have such.
    """

    split: str
    source: str
    names: list[str]
    labels: list[str]
    sizes: list[int]
    read: Callable[[int], bytes | Pixels]
    annotated: BoxPart | MaskPart | None = None

    def __len__(self) -> int:
        return len(self.names)

    def class_counts(self) -> Counter[str]:
        """How many of its images are of each class or show it; of boxes, how many objects there are."""
        return self.annotated.class_objects() if isinstance(self.annotated, BoxPart) else self.class_images()

    def class_images(self) -> Counter[str]:
        """How many of its images are of each class or show it."""
        return Counter(self.labels) if self.annotated is None else class_images(self.annotated)


@dataclass
class Inventory:
    """The images of a source, and findings about the listing itself."""

    parts: list[Part]
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def classes(self) -> dict[str, int]:
        """Training images of every class, or objects of it; all there are, in a source without splits.

        Of masks it is the images that show the class, which reads all of them.
        """
        counts = Counter[str]()
        for part in self.parts:
            if part.split in ("train", ALL):
                counts.update(part.class_counts())
        return dict(sorted(counts.items(), key=lambda item: _in_order(item[0])))

    def __len__(self) -> int:
        return sum(map(len, self.parts))


def _in_order(label: str) -> tuple[bool, int, str]:
    """Where a class stands: ids of masks by their numbers, before names by their letters."""
    is_id = label.isascii() and label.isdigit() and len(label) < 10
    return not is_id, int(label) if is_id else 0, label


def inventory_of(text: str, overrides: Sequence[str] = ()) -> Inventory:
    """Lists a source, or the sources of a recipe (a path that ends in `.toml`).

    A source that training would refuse is listed as far as possible, with findings.

    Args:
        text: The source, or the recipe's path.
        overrides: `key=value` texts; of a source those that say how it is read (`READING`).

    Raises:
        DataError: There is nothing to list.
        RecipeError: The recipe is wrong, or a key.
    """
    if text.endswith(".toml"):
        return _of_recipe(text, overrides)
    return _of_source(text, _reading(text, overrides) if overrides else {})


def _reading(text: str, overrides: Sequence[str]) -> dict[str, Any]:
    """How a source is read, as keys say.

    Raises:
        RecipeError: A key is another, or its value is wrong.
    """
    from fewer.recipe.fitting import given_paths
    from fewer.recipe.parse import parse_recipe

    for given, path in zip(overrides, given_paths(overrides), strict=True):
        if path[0] != "data" or path[1:] not in {(key,) for key in READING}:
            allowed = ", ".join(f"data.{key}" for key in READING)
            raise RecipeError(
                f'argument "{given}": of a source alone only these keys say how it is read: {allowed}; '
                "give a recipe, which may have any key"
            )
    data = parse_recipe({"data": {"source": text}, "model": {"name": "lenet5"}}, overrides, base=Path.cwd()).data
    return {key: getattr(data, key) for key in READING}


def _of_source(text: str, reading: dict[str, Any]) -> Inventory:
    try:
        source = open_source(text, **reading)
    except DataError as error:
        return _as_far_as_possible(text, error, reading.get("class_level", "auto"))
    problem = class_problem(source.train_classes(), source.annotations)
    refusals = [Finding("refused", "", "", problem, text)] if problem else []
    parts = _parts(source)
    return Inventory(parts, list(source.notes), [*refusals, *_faults(source, parts), *_unread(text, source.left_out)])


def _parts(source: Source) -> list[Part]:
    ids_of = {split: ids.tolist() for split, ids in source.parts.items()} or {ALL: list(range(len(source)))}
    labels = source.labels.tolist()
    return [_part(source, split, ids, [source.classes[labels[i]] for i in ids]) for split, ids in ids_of.items()]


def _unread(text: str, left_out: LeftOut) -> list[Finding]:
    """A finding for each format of images that is not read."""
    return [Finding("unread-format", "", first, f"{count} files", text) for first, count in left_out.unread_formats()]


def _part(source: Source, split: str, ids: list[int], labels: list[str]) -> Part:
    sizes, found = source.sizes.tolist(), annotated(source, ids)
    return Part(
        split, source.name, [source.names[i] for i in ids], labels if found is None else [""] * len(ids),
        [sizes[i] for i in ids], lambda at: source.read(ids[at]), found,
    )  # fmt: skip


def _faults(source: Source, parts: list[Part]) -> list[Finding]:
    """A finding for each fault of the boxes or masks of a source, under the split of the image that it names."""
    if not isinstance(source, BoxSource | MaskSource):
        return []
    own = [part for part in parts if part.source == source.name]  # other sources may have files of the same names
    return faults_of(source.found.faults, source.name, {name: part.split for part in own for name in part.names})


def _of_recipe(path: str, overrides: Sequence[str]) -> Inventory:
    """The splits as training takes them; if it would refuse them, the recipe's sources one by one."""
    from fewer.recipe.parse import load_recipe
    from fewer.recipe.places import require_data

    recipe = load_recipe(path, overrides)
    require_data(recipe)
    from fewer.session.build import make_plan, open_data

    try:
        splits = open_data(recipe)
    except DataError as error:
        data = recipe.data
        reading = {key: getattr(data, key) for key in READING}
        return _one_by_one({"train": data.source, "val": data.val, "test": data.test}, reading, error)
    parts = []
    for name in ("train", "val", "test"):
        split = getattr(splits, name)
        if split is not None:
            ids, label_N = split.ids_M.tolist(), split.label_N.tolist()
            parts.append(_part(split.source, name, ids, [split.classes[label_N[i]] for i in ids]))
    sources = {split.source.name: split.source for split in (splits.train, splits.val, splits.test) if split}
    found = [finding for source in sources.values() for finding in _faults(source, parts)]
    found += [finding for source in sources.values() for finding in _unread(source.name, source.left_out)]
    whole = Inventory(parts, list(splits.notes), found)
    try:
        make_plan(recipe, splits)
    except (DataError, RecipeError) as error:
        whole.findings += [Finding("refused", "", "", problem) for problem in str(error).splitlines()]
    return whole


def _one_by_one(texts: dict[str, str], reading: dict[str, Any], refusal: DataError) -> Inventory:
    whole = Inventory([])
    for split, text in texts.items():
        if not is_source(text):
            continue  # a share, "auto" or "none"
        other = _of_source(text, reading)
        wanted = [part for part in other.parts if part.split == split] or [p for p in other.parts if p.split == ALL]
        chosen = other.parts if split == "train" else wanted or other.parts[:1]
        for part in chosen:
            role = split if part.split == ALL else part.split if split == "train" else split
            whole.parts.append(replace(part, split=role))
        whole.notes += other.notes
        whole.findings += other.findings
    train = {label for part in whole.parts if part.split in ("train", ALL) for label in part.labels}
    stops = [finding for finding in whole.findings if finding.code != "unread-format"]
    explained = stops or any(set(part.labels) - train for part in whole.parts)
    if not explained:
        whole.findings.append(Finding("layout", "", "", str(refusal)))
    return whole


def _as_far_as_possible(text: str, refusal: DataError, class_level: ClassLevel) -> Inventory:
    kind, _, path = text.partition(":")
    if is_source(text) and hasattr(SOURCES.module(kind), "listed"):
        return _of_boxes(text, SOURCES.module(kind).listed(text, path), refusal)
    root = Path(path).expanduser().absolute()
    findings: list[Finding] = []
    left_out = LeftOut()
    try:
        if kind == "folder" and root.is_dir():
            sizes, folders = walked(str(root), text, left_out, findings)
            read: Callable[[str], bytes] = lambda name: (root / name).read_bytes()  # noqa: E731
        elif kind == "tar" and root.is_file():
            sizes, folders, left_out, read = packed(root)
        else:
            raise refusal
    except OSError:
        raise refusal from None
    unread = _unread(text, left_out)
    names = _sifted(text, sizes, class_level, findings)
    _find_empty(text, names, left_out.without_runs(folders), class_level, findings)
    try:
        held = grouped({name: (sizes[name],) for name in names})
        found = arranged(text, held, (), class_level, left_out.notes)
    except DataError as error:
        if not names and not findings:
            raise refusal from None
        if names or not findings:  # else no image is left, and what was found says why
            findings.append(Finding("layout", "", "", str(error), text))
        labels = [name.rpartition("/")[0].rpartition("/")[2] for name in names]
        return Inventory([_by_name(ALL, text, names, labels, sizes, read)], left_out.notes, [*findings, *unread])
    if not findings:
        findings.append(Finding("layout", "", "", str(refusal), text))
    ids_of = {split: ids.tolist() for split, ids in found.parts.items()} or {ALL: list(range(len(found.names)))}
    parts = [
        _by_name(
            split, text, [found.names[i] for i in ids], [found.classes[int(found.labels[i])] for i in ids], sizes, read
        )
        for split, ids in ids_of.items()
    ]
    return Inventory(parts, found.notes, [*findings, *unread])


def _of_boxes(text: str, found: Boxes, refusal: DataError) -> Inventory:
    """Images whose boxes training refuses."""
    root, sizes = found.tree.root, found.tree.files
    read: Callable[[str], bytes] = lambda name: Path(f"{root}/{name}").read_bytes()  # noqa: E731
    parts = []
    for split, ids in (found.parts or {ALL: np.arange(len(found.names))}).items():
        names = [found.names[i] for i in ids.tolist()]
        part = _by_name(split, text, names, [""] * len(names), {name: sizes[name][0] for name in names}, read)
        parts.append(replace(part, annotated=BoxPart(found.classes, found.objects, ids.tolist(), found.size_N2)))
    findings = faults_of(found.faults, text, {name: part.split for part in parts for name in part.names})
    if not findings or not parts[0].names:
        findings.append(Finding("layout", "", "", str(refusal), text))
    return Inventory(parts, found.notes, findings)


def _by_name(
    split: str, text: str, names: list[str], labels: list[str], sizes: dict[str, int], read: Callable[[str], bytes]
) -> Part:
    return Part(split, text, names, labels, [sizes[name] for name in names], lambda at: read(names[at]))


def _sifted(text: str, sizes: dict[str, int], class_level: ClassLevel, findings: list[Finding]) -> list[str]:
    """The paths less those in the root, and less folders inside class folders with images; these become findings."""
    holders = {name.rpartition("/")[0] for name in sizes}
    for name in sorted(name for name in sizes if "/" not in name):
        findings.append(Finding("outside-class-folder", "", name, "lies directly in the root", text))
    inner: dict[str, str] = {}
    for holder in sorted(holders if not isinstance(class_level, int) else ()):
        if outer := next((above for above in _above(holder) if above in holders), ""):
            inner[holder] = outer
            reason = f"lies inside {outer}/, which holds images itself"
            findings.append(Finding("nested-folder", "", holder, reason, text))
    return sorted(name for name in sizes if "/" in name and name.rpartition("/")[0] not in inner)


def _find_empty(
    text: str, names: list[str], folders: list[str], class_level: ClassLevel, findings: list[Finding]
) -> None:
    """Makes findings of class folders without images, as far as it can be told what is a class."""
    first = {name.rpartition("/")[0]: name.rpartition("/")[2] for name in names}
    holders = sorted(first, key=lambda holder: f"{holder}/")
    try:
        layout = layout_of(text, holders, first, class_level == "auto")
        found = classified(text, layout, holders, class_level)
    except DataError:
        return
    known = {finding.path for finding in findings} | {finding.path.rpartition("/")[0] for finding in findings}
    for folder in empty_classes(found, holders, set(folders) - known):
        findings.append(Finding("empty-class", "", folder, "holds no images", text))


def _above(holder: str) -> list[str]:
    """Every folder above one."""
    return [holder[:i] for i, letter in enumerate(holder) if letter == "/"]
