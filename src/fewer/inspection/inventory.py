"""Inventory of a source: its images by split, as training lists them, or as far as a faulty source can be listed."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fewer.core.errors import DataError, RecipeError
from fewer.data.decode.decode import Pixels
from fewer.data.listing.class_folders import ClassLevel, classified, empty_classes
from fewer.data.listing.class_summary import class_problem
from fewer.data.listing.layout import arranged, grouped, is_image
from fewer.data.listing.left_out import LeftOut, is_run, is_visible
from fewer.data.listing.split_folders import layout_of
from fewer.data.listing.tar import members
from fewer.data.sources import Source, is_source, open_source
from fewer.data.sources.tar import images_of
from fewer.inspection.findings import Finding

ALL = "all"  # the only split of a source without splits


@dataclass(frozen=True)
class Part:
    """The images of one split.

    Attributes:
        split: `train`, `val`, `test` or `all`.
        source: Name of the source that they lie in.
        names: Their paths inside it.
        labels: Their classes.
        sizes: Bytes of each file.
        read: Gives bytes or pixels by position in this part.
    """

    split: str
    source: str
    names: list[str]
    labels: list[str]
    sizes: list[int]
    read: Callable[[int], bytes | Pixels]

    def __len__(self) -> int:
        return len(self.names)


@dataclass
class Inventory:
    """The images of a source, and findings about the listing itself."""

    parts: list[Part]
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def classes(self) -> dict[str, int]:
        """Training images of every class; all images, in a source without splits."""
        counts = Counter(label for part in self.parts if part.split in ("train", ALL) for label in part.labels)
        return dict(sorted(counts.items()))

    def __len__(self) -> int:
        return sum(map(len, self.parts))


def inventory_of(text: str, class_level: ClassLevel = "auto") -> Inventory:
    """Lists a source, or the sources of a recipe (a path that ends in `.toml`).

    A source that training would refuse is listed as far as possible, with findings.

    Raises:
        DataError: There is nothing to list.
        RecipeError: The recipe is wrong.
    """
    if text.endswith(".toml"):
        return _of_recipe(text)
    try:
        source = open_source(text, class_level)
    except DataError as error:
        return _as_far_as_possible(text, error, class_level)
    problem = class_problem(source.train_classes())
    refusals = [Finding("refused", "", "", problem, text)] if problem else []
    return Inventory(_parts(source), list(source.notes), [*refusals, *_unread(text, source.left_out)])


def _parts(source: Source) -> list[Part]:
    ids_of = {split: ids.tolist() for split, ids in source.parts.items()} or {ALL: list(range(len(source)))}
    labels = source.labels.tolist()
    return [_part(source, split, ids, [source.classes[labels[i]] for i in ids]) for split, ids in ids_of.items()]


def _unread(text: str, left_out: LeftOut) -> list[Finding]:
    """A finding for each format of images that is not read."""
    return [Finding("unread-format", "", first, f"{count} files", text) for first, count in left_out.unread_formats()]


def _part(source: Source, split: str, ids: list[int], labels: list[str]) -> Part:
    sizes = source.sizes.tolist()
    return Part(
        split, source.name, [source.names[i] for i in ids], labels, [sizes[i] for i in ids],
        lambda at: source.read(ids[at]),
    )  # fmt: skip


def _of_recipe(path: str) -> Inventory:
    """The splits as training takes them; if it would refuse them, the recipe's sources one by one."""
    from fewer.recipe.parse import load_recipe
    from fewer.recipe.places import require_data

    recipe = load_recipe(path)
    require_data(recipe)
    from fewer.session.build import make_plan, open_data

    try:
        splits = open_data(recipe)
    except DataError as error:
        data = recipe.data
        return _one_by_one({"train": data.source, "val": data.val, "test": data.test}, data.class_level, error)
    parts = []
    for name in ("train", "val", "test"):
        split = getattr(splits, name)
        if split is not None:
            ids, label_N = split.ids_M.tolist(), split.label_N.tolist()
            parts.append(_part(split.source, name, ids, [split.classes[label_N[i]] for i in ids]))
    sources = {id(split.source): split.source for split in (splits.train, splits.val, splits.test) if split}
    unread = [finding for source in sources.values() for finding in _unread(source.name, source.left_out)]
    whole = Inventory(parts, list(splits.notes), unread)
    try:
        make_plan(recipe, splits)
    except (DataError, RecipeError) as error:
        whole.findings += [Finding("refused", "", "", problem) for problem in str(error).splitlines()]
    return whole


def _one_by_one(texts: dict[str, str], class_level: ClassLevel, refusal: DataError) -> Inventory:
    whole = Inventory([])
    for split, text in texts.items():
        if not is_source(text):
            continue  # a share, "auto" or "none"
        other = inventory_of(text, class_level)
        wanted = [part for part in other.parts if part.split == split] or [p for p in other.parts if p.split == ALL]
        chosen = other.parts if split == "train" else wanted or other.parts[:1]
        for part in chosen:
            role = split if part.split == ALL else part.split if split == "train" else split
            whole.parts.append(Part(role, part.source, part.names, part.labels, part.sizes, part.read))
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
    root = Path(path).expanduser().absolute()
    findings: list[Finding] = []
    left_out = LeftOut()
    try:
        if kind == "folder" and root.is_dir():
            sizes, folders = _walked(str(root), text, left_out, findings)
            read: Callable[[str], bytes] = lambda name: (root / name).read_bytes()  # noqa: E731
        elif kind == "tar" and root.is_file():
            sizes, folders, left_out, read = _packed(root)
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


def _by_name(
    split: str, text: str, names: list[str], labels: list[str], sizes: dict[str, int], read: Callable[[str], bytes]
) -> Part:
    return Part(split, text, names, labels, [sizes[name] for name in names], lambda at: read(names[at]))


def _packed(path: Path) -> tuple[dict[str, int], list[str], LeftOut, Callable[[str], bytes]]:
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


def _walked(root: str, text: str, left_out: LeftOut, findings: list[Finding]) -> tuple[dict[str, int], list[str]]:
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
            elif _is_folder(entry) and is_run(entry.path):
                left_out.runs.add(path)
            elif _is_folder(entry):
                folders.append(path)
                waiting.append((path + "/", (*above, here)))
            elif is_image(entry.name):
                _add(entry, path, text, sizes, findings)
            else:
                left_out.add_file(path)
    return sizes, folders


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


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
