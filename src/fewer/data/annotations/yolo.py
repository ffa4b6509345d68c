"""YOLO: a text file an image, as Ultralytics, Roboflow, CVAT, Label Studio and labelImg write them.

A line is a class number and a box (centre x, centre y, width, height), or a class number and the points of a polygon,
all in shares of the picture's width and height. A sixth value of a box is the confidence of a prediction, and is not
used. Boxes of polygons are the smallest around all points. Where `data.yaml` has a `kpt_shape`, keypoints follow the
box of a line, and are not used.

Labels lie beside their images, or in `labels/` where these lie in `images/`. An image without a file of labels, or with
an empty one, is background. Class names are those of `data.yaml` (`names`), `obj.names` or `classes.txt`; splits are
those of `data.yaml`, else folders called train, val and test.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from fewer.core.errors import DataError
from fewer.data.annotations.draft import Draft, number, shown, whole
from fewer.data.annotations.simple_yaml import Value, parsed
from fewer.data.annotations.tree import Tree, inside, parts_of, stem_of
from fewer.data.decode.formats import is_image

NAME_FILES = ("obj.names", "classes.txt")
_NOT_LABELS = ("classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt", "requirements.txt")
_KEYS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_CLASSES_MAX = 100_000
_KEYPOINTS_MAX = 10_000  # of an object


def read(tree: Tree, keeps: bool = False, file: str = "") -> Draft:
    """All images, with the boxes of their label files.

    Args:
        tree: The files.
        keeps: Whether outlines are kept.
        file: What takes the place of `data.yaml`, a path; found by itself if left out.

    Raises:
        DataError: `data.yaml` is not such YAML, or `file` is missing.
    """
    draft = Draft(keeps, relative=True)
    yaml, about = settings(tree, file)
    labels = {
        path for path in tree.ending("txt") if posixpath.basename(path) not in _NOT_LABELS or _is_label(tree, path)
    }
    images = tree.images()
    parts = _parts(tree, yaml, about, images, draft) or parts_of(images)
    names = _names(tree, yaml, about, draft)
    keypoints = _keypoint_values(about)
    if keypoints:
        draft.notes.append(f"{yaml}: there are keypoints (kpt_shape): boxes are used, and keypoints are not")
    most = -1
    used = set()
    bare: list[int] = []  # images without a file of labels
    for image in images:
        at = draft.add_image(image, parts.get(image, ""))
        path = next((path for path in label_paths(image) if path in labels), "")
        if path:
            used.add(path)
            most = max(most, _add(draft, tree, at, path, len(names), keypoints))
        elif draft.parts[at] or not parts:
            bare.append(at)
    _leave_out_unlabelled(draft, bare)
    for path in sorted(labels - used):
        if _is_label(tree, path):
            draft.fault("image-missing", path, "no image for it")
    if not names and most >= 0:
        names = [str(i) for i in range(most + 1)]
        draft.notes.append("there are no class names (data.yaml, obj.names or classes.txt): numbers are taken")
    draft.classes = names
    return draft


def _leave_out_unlabelled(draft: Draft, bare: Sequence[int]) -> None:
    """Takes validation or test images out of their split where none of them has labels; notes other images without."""
    for part in ("val", "test"):
        ids = [at for at in bare if draft.parts[at] == part]
        if ids and len(ids) == draft.parts.count(part):
            draft.notes.append(f"none of the {len(ids):,} images of {part} has a file of labels: they are not used")
            for at in ids:
                draft.parts[at] = ""
    for at in bare:
        if draft.parts[at] or not any(draft.parts):
            draft.fault("no-label-file", draft.names[at], f"no {label_paths(draft.names[at])[0]}")


def label_paths(image: str) -> list[str]:
    """Where the labels of an image may lie, the likeliest first."""
    folders = image.split("/")[:-1]
    file = f"{stem_of(posixpath.basename(image))}.txt"
    found = [
        "/".join([*folders[:at], "labels", *folders[at + 1 :], file])
        for at in reversed(range(len(folders)))
        if folders[at].lower() == "images"
    ]
    return [*found, "/".join([*folders, file])]


def settings(tree: Tree, file: str = "") -> tuple[str, dict[str, Value]]:
    """The path of `data.yaml`, or of another YAML file with `names`, and what it says; "" and nothing without one.

    Args:
        tree: The files.
        file: The path, if it is known.

    Raises:
        DataError: `data.yaml` is not such YAML, or `file` is missing.
    """
    if file and file not in tree.files:
        raise DataError(f"{tree.root}/{file}: there is no such file; fix: check the path")
    if file:
        return file, parsed(tree.text(file), f"{tree.root}/{file}")
    files = sorted(
        tree.ending("yaml", "yml"), key=lambda path: (path.count("/"), posixpath.basename(path) != "data.yaml")
    )
    for path in files:
        if path.count("/") > 1:
            break
        try:
            about = parsed(tree.text(path), f"{tree.root}/{path}")
        except DataError:
            if posixpath.basename(path) in ("data.yaml", "data.yml", "dataset.yaml"):
                raise
            continue
        if "names" in about:
            return path, about
    return "", {}


def _names(tree: Tree, yaml: str, about: dict[str, Value], draft: Draft) -> list[str]:
    """The names of the classes, in the order of their numbers."""
    names = about.get("names")
    if isinstance(names, list):
        return _distinct([str(name) for name in names], yaml, draft)
    if isinstance(names, dict):
        numbered = {number: str(name) for key, name in names.items() if (number := whole(key)) is not None}
        if len(numbered) == len(names) and min(numbered, default=-1) >= 0 and max(numbered) < _CLASSES_MAX:
            return _distinct([numbered.get(i, str(i)) for i in range(max(numbered) + 1)], yaml, draft)
    if names is not None:
        draft.fault("class-names", yaml, f"names is {shown(names)}: allowed: a list, or numbers from 0 with names")
        return []
    for file in NAME_FILES:
        if path := next((path for path in sorted(tree.files) if posixpath.basename(path) == file), ""):
            lines = tree.text(path).splitlines()
            return _distinct([line.strip() for line in lines if line.strip()], path, draft)
    return []


def _distinct(names: list[str], path: str, draft: Draft) -> list[str]:
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        draft.fault("class-names", path, f"the name {shown(twice)} occurs twice: allowed: each once")
    return names


def _keypoint_values(about: dict[str, Value]) -> int:
    """How many values of a line are keypoints, by `kpt_shape`: their number, and 2 or 3 values each; 0 without it."""
    shape = about.get("kpt_shape")
    count, each = map(whole, shape) if isinstance(shape, list) and len(shape) == 2 else (None, None)
    return count * each if count and each in (2, 3) and 0 < count < _KEYPOINTS_MAX else 0


def _add(draft: Draft, tree: Tree, image: int, path: str, classes: int, keypoints: int) -> int:
    """Adds the objects of a file of labels; gives the largest class number in it."""
    most = -1
    counts = (5, 6, 5 + keypoints, 6 + keypoints)  # a confidence may stand last
    try:
        lines = tree.text(path).splitlines()
    except DataError as error:
        draft.fault("annotation-unreadable", path, str(error))
        return most
    for at, line in enumerate(lines, 1):
        texts = line.split()
        if not texts:
            continue
        values = [number(text) for text in texts]
        label = whole(texts[0])
        polygon = not keypoints and len(texts) > 6
        if len(texts) % 2 == 0 if polygon else len(texts) not in counts:
            more = f", or {keypoints} values of keypoints behind the box" if keypoints else " or points"
            draft.fault("box-malformed", path, f"line {at}: {len(texts)} values: allowed: a class and a box{more}")
        elif None in values or any(abs(value or 0) > 1e6 for value in values):
            draft.fault("box-malformed", path, f"line {at}: {shown(line)}: allowed: numbers")
        elif label is None or label < 0 or label >= (classes or _CLASSES_MAX):
            allowed = f"0 to {classes - 1}" if classes else "whole numbers from 0"
            draft.fault("unknown-category", path, f"line {at}: class {shown(texts[0])}: allowed: {allowed}")
        else:
            points = [value or 0.0 for value in values[1:]]
            extra = {"points": points} if polygon and draft.keeps else {}
            draft.add_object(image, around(points) if polygon else _edges(points), label, extra=extra)
            most = max(most, label)
    return most


def around(points: Sequence[float]) -> tuple[float, float, float, float]:
    """The smallest box around points x, y, x, y, ..."""
    return min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])


def _edges(box: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, wide, high = box[:4]
    return x - wide / 2, y - high / 2, x + wide / 2, y + high / 2


def _parts(tree: Tree, yaml: str, about: dict[str, Value], images: Sequence[str], draft: Draft) -> dict[str, str]:
    """The split of each image by `data.yaml`; nothing where it names none that are here."""
    found: dict[str, str] = {}
    for part, keys in _KEYS.items():
        value = next((about[key] for key in keys if key in about), None)
        for text in value if isinstance(value, list) else [value] if isinstance(value, str) else []:
            named = _named(tree, yaml, str(text), str(about.get("path", "")), images)
            if not named:
                draft.notes.append(f"{yaml}: {part} is {shown(text)}, which is not here")
            for image in named:
                if found.setdefault(image, part) != part:
                    draft.fault("image-in-two-splits", image, f"{part} names it, and {found[image]}, where it stays")
    used = {*found.values()}
    is_whole = used == {"train"} and len(found) == len(images)  # a file must name one split, which then says nothing
    return found if "train" in used and not is_whole else {}


def _named(tree: Tree, yaml: str, text: str, base: str, images: Sequence[str]) -> list[str]:
    """The images of a split, given as a folder, or as a list of images in a text file.

    Roboflow writes `../train/images` whatever the folder, and others absolute paths of their machine: leading parts
    are left away until something is here.
    """
    own = posixpath.dirname(yaml)
    for tried in (inside(own, text), inside(own, f"{base}/{text}"), *_shorter(text)):
        if tried in tree.files and tried.endswith(".txt"):
            lines = [line.strip() for line in tree.text(tried).splitlines() if line.strip()]
            found = (_listed(tree, line, own, posixpath.dirname(tried)) for line in lines)
            return [path for path in found if path]
        folder = "" if tried == "." else f"{tried}/"
        if below := [image for image in images if image.startswith(folder)]:
            return below
    return []


def _listed(tree: Tree, line: str, *bases: str) -> str:
    """The image that a line of a list names; "" for none here."""
    here = tree.found(line, *bases, "") or next((path for path in _shorter(line) if path in tree.files), "")
    return here if is_image(here) else ""


def _shorter(text: str) -> list[str]:
    """A path without `..`, then less its first folder, less two, and so on; of two parts or more, two are left."""
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return ["/".join(parts[at:]) for at in range(max(1, len(parts) - 1))]


def _is_label(tree: Tree, path: str) -> bool:
    """Whether a text is one of labels rather than a README or a list of images."""
    try:
        first = tree.text(path).partition("\n")[0].split()
    except DataError:
        return False
    return len(first) >= 5 and all(number(text) is not None for text in first)
