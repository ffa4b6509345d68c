"""Labels from a CSV: who gets them, what they may be, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewer.core.errors import DataError
from fewer.data.annotations.labels import LabelFile
from fewer.data.listing.splits import Splits, open_splits
from fewer.recipe.parse import parse_recipe
from fewer.recipe.schema import Recipe
from fewer.runs.folder import MANIFEST, RunFolder
from fewer.session.build import make_plan, open_data
from fewer.session.resume import refuse_other_data

CLASSES = ("ant", "bee", "cat")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folders train/ and test/ of three classes; listing does not look into the files."""
    for part, count in (("train", 8), ("test", 2)):
        for label in CLASSES:
            (tmp_path / "data" / part / label).mkdir(parents=True)
            for i in range(count):
                (tmp_path / "data" / part / label / f"{i}.png").write_bytes(f"{part} {label} {i}".encode())
    return tmp_path / "data"


def rows(prefix: str = "train/", by: str = "name", shift: int = 1) -> list[str]:
    """A line an image, whose label is the class `shift` further on."""
    found = []
    for number, label in enumerate(CLASSES):
        other = (number + shift) % len(CLASSES)
        for i in range(8):
            found.append(f"{prefix}{label}/{i}.png,{CLASSES[other] if by == 'name' else other}")
    return found


def labelled(csv: Path, lines: list[str], header: str = "file,label", **asked: Any) -> LabelFile:
    csv.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return LabelFile(str(csv), "file", "label", **({"max_differing": 1.0} | asked))


def recipe_of(root: Path, base: Path) -> Recipe:
    data = {"source": f"folder:{root}", "labels": {"csv": "l.csv", "column": "label", "max_differing": 1.0}}
    content = {"data": data, "model": {"name": "lenet5"}, "train": {"batch_size": 8}}
    return parse_recipe(content, base=base)


def refusal(root: Path, labels: LabelFile) -> str:
    with pytest.raises(DataError) as caught:
        open_splits(f"folder:{root}", labels=labels)
    assert "fix:" in str(caught.value)
    assert labels.csv in str(caught.value)
    return str(caught.value)


def own(splits: Splits, part: str) -> tuple[list[int], list[int]]:
    """Labels in a split, and those of the folders."""
    split = getattr(splits, part)
    return split.label_N[split.ids_M].tolist(), split.source.labels[split.ids_M.numpy()].tolist()


@pytest.mark.parametrize("prefix", ["train/", "", "./train/", "somewhere/train/"])
@pytest.mark.parametrize("by", ["name", "index"])
@pytest.mark.parametrize("below", ["", "train"])
def test_labels_replace_those_of_training_images_only(
    tmp_path: Path, root: Path, prefix: str, by: str, below: str
) -> None:
    numbers = "names" if by == "name" else "positions"
    labels = labelled(tmp_path / "l.csv", rows(prefix, by), numbers=numbers)
    text = f"folder:{root / below}"
    splits = open_splits(text, val="25%", labels=labels)
    plain = open_splits(text, val="25%")
    for part in ("train", "val"):
        given, folders = own(splits, part)
        assert given == [(label + 1) % 3 for label in folders], "validation is held out of training images"
        assert getattr(splits, part).ids_M.tolist() == getattr(plain, part).ids_M.tolist(), "the same images"
    assert own(splits, "test")[0] == own(splits, "test")[1]
    assert any("24 (100.00%) differ" in note for note in splits.notes)
    assert splits.fingerprint != plain.fingerprint
    own_labels = labelled(tmp_path / "l.csv", rows(prefix, by, shift=0), numbers=numbers, max_differing=0.0)
    same = open_splits(text, val="25%", labels=own_labels)
    assert same.fingerprint == plain.fingerprint


def test_a_run_that_is_resumed_notices_other_labels(tmp_path: Path, root: Path) -> None:
    labelled(tmp_path / "l.csv", rows())
    recipe = recipe_of(root, tmp_path)
    splits = open_data(recipe)
    folder = RunFolder(tmp_path)
    folder.file(MANIFEST, splits.manifest().packed())
    refuse_other_data(folder, open_data(recipe))
    changed = rows()
    changed[0] = changed[0].replace("bee", "cat")
    labelled(tmp_path / "l.csv", changed)
    with pytest.raises(DataError, match=r"1 with a changed label \(first: train train/ant/0.png\)"):
        refuse_other_data(folder, open_data(recipe))
    for damage in (b"", b"\x1f\x8b", splits.manifest().packed()[:-9], b"plain text"):
        (tmp_path / MANIFEST).write_bytes(damage)
        with pytest.raises(DataError, match=r"cannot be read|not the data"):
            refuse_other_data(folder, open_data(recipe))


def test_where_the_csv_lies_is_no_part_of_the_digest(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fewer.plan.digest import digest_of
    from fewer.plan.facts import DataFacts, Facts, ModelFacts

    facts = Facts(DataFacts(1, 1, 1, ("a", "b"), 1), ModelFacts({}, 0, 0))
    found = set()
    for csv, column in (("a.csv", "x"), ("b.csv", "x"), ("a.csv", "y"), (None, None)):
        data = {"source": "digits"} | ({"labels": {"csv": csv, "column": column}} if csv else {})
        found.add(digest_of(parse_recipe({"data": data, "model": {"name": "lenet5"}}), facts, ""))
    assert len(found) == 3


def test_rows_that_do_not_fit_are_counted_and_shown(tmp_path: Path, root: Path) -> None:
    csv = tmp_path / "l.csv"
    sound = rows()
    message = refusal(root, labelled(csv, [*sound[5:], *sound[5:7], "train/ant/99.png,ant", "x.png,ant"]))
    assert "2 rows name images that are not in the source (first: 'train/ant/99.png', 'x.png')" in message
    assert "2 rows name an image for the second time (first: 'train/ant/5.png', 'train/ant/6.png')" in message
    assert (
        "5 training images have no row (first: 'train/ant/0.png', 'train/ant/1.png', 'train/ant/2.png', ...)" in message
    )
    assert "labels are no class" not in message
    message = refusal(root, labelled(csv, [line.replace(",cat", ",dog") for line in sound]))
    assert "8 labels are no class (first: 'dog', 'dog', 'dog', ...)" in message
    assert "ant, bee, cat" in message
    beyond = [line.replace(",2", ",3") for line in rows(by="index")]
    message = refusal(root, labelled(csv, beyond, numbers="positions"))
    assert "8 labels are no class (first: '3'" in message
    assert "labels are no class" in refusal(root, labelled(csv, [*sound[:-1], sound[-1].replace("ant", "0")]))
    spare = open_splits(f"folder:{root}", labels=labelled(csv, [*sound, "test/ant/0.png,cat"]))
    assert own(spare, "test")[0] == own(spare, "test")[1]
    assert any("1 rows of" in note and "do not train" in note for note in spare.notes)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "no column 'file' and no column 'label'; allowed: nothing"),
        (b"path,label\n", "no column 'file'; allowed: path, label (columns"),
        (b"file,kind\n", "no column 'label'; allowed: file, kind (columns"),
        (b"file,label\ntrain/ant/0.png\n", "l.csv:2: the line has fewer values"),
        (b"file,label\ntrain/ant/0.png,ant,bee\n", "l.csv:2: the line has more values"),
        (b"file,label\n\xff\xfe,ant\n", "no UTF-8 text; allowed: a CSV with a header line; fix: save it as UTF-8"),
        ("file,label\nx,ant\n".encode("utf-16-le"), "UTF-16 text without a byte order mark"),
        (b"path;kind\nx;ant\n", "allowed: path, kind (columns are separated by semicolons)"),
        (b"File,label\nx,ant\n", "no column 'file'; allowed: File, label (columns are separated by commas); "),
        (b"train/ant/0.png;ant\n", "there is no header line, but a row at once; fix: put the line file;label on top"),
        (b'file,label\n"open,ant\n', "no CSV"),
        (b"file,label\n" + b"x" * 200_000 + b",ant\n", "no CSV"),
        (b"file,label\n", "24 training images have no row"),
    ],
)
def test_files_that_are_no_such_csv_are_refused(tmp_path: Path, root: Path, content: bytes, word: str) -> None:
    (tmp_path / "l.csv").write_bytes(content)
    assert word in refusal(root, LabelFile(str(tmp_path / "l.csv"), "file", "label"))


def test_a_csv_that_is_not_there_is_named(tmp_path: Path, root: Path) -> None:
    assert "No such file" in refusal(root, LabelFile(str(tmp_path / "none.csv"), "file", "label"))
    assert "Is a directory" in refusal(root, LabelFile(str(tmp_path), "file", "label"))


# --- Numbers ---------------------------------------------------------------------------------------------------------


def numbered(root: Path, names: list[str], labels: list[str], **asked: Any) -> list[str]:
    """Names of the classes that four images in each folder of `names` get from a file with these labels."""
    for name in names:
        (root / "d" / name).mkdir(parents=True, exist_ok=True)
        for i in range(4):
            (root / "d" / name / f"{i}.png").write_bytes(b"x")
    lines = [f"{name}/{i}.png,{label}" for name, label in zip(names, labels, strict=True) for i in range(4)]
    file = labelled(root / "l.csv", lines, **({"max_differing": 0.5} | asked))
    splits = open_splits(f"folder:{root / 'd'}", test="none", val="none", labels=file)
    found = {splits.train.source.names[id]: splits.classes[splits.train.label_N[id]] for id in range(len(splits.train))}
    return [found[f"{name}/0.png"] for name in names]


ONE_TO_TEN = [str(number) for number in range(1, 11)]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (ONE_TO_TEN, ONE_TO_TEN),
        (ONE_TO_TEN, [f"{name}.0" for name in ONE_TO_TEN]),
        (["01", "02", "03"], ["1", "2", "3"]),
        (["1", "2", "3"], ["01", "02", "3.0"]),
        (["0", "1", "2"], ["0", "1", "2"]),
        (["caf\u00e9", "th\u00e9"], ["cafe\u0301", "the\u0301"]),
    ],
)
def test_labels_are_names_first(tmp_path: Path, names: list[str], labels: list[str]) -> None:
    assert numbered(tmp_path, names, labels) == names


@pytest.mark.parametrize(
    ("names", "labels", "agree"),
    [(ONE_TO_TEN, [str(number) for number in range(10)], "10%"), (["ant", "bee", "cat"], ["0", "1", "2"], "100%")],
)
def test_numbers_are_positions_only_where_that_is_asked(
    tmp_path: Path, names: list[str], labels: list[str], agree: str
) -> None:
    """Folders 1 to 10 stand in the order 1, 10, 2, ...: labels 0 to 9 would be wrong for nine images of ten."""
    with pytest.raises(DataError, match=rf'makes {agree} .*set data.labels.numbers = "positions"'):
        numbered(tmp_path, names, labels)
    asked = {"numbers": "positions", "max_differing": 1.0}
    assert numbered(tmp_path, names, labels, **asked) == [sorted(names)[int(label)] for label in labels]
    if agree == "10%":
        with pytest.raises(DataError, match=r"36 of 40 labels \(90.00%\) differ"):
            numbered(tmp_path, names, labels, numbers="positions")


def test_a_source_that_numbers_its_classes_is_taken_at_its_word(tmp_path: Path, root: Path) -> None:
    from fewer.data.annotations.labels import overridden
    from fewer.data.sources import open_source

    source = open_source(f"folder:{root / 'train'}")
    source.numbers_classes = True
    file, notes = labelled(tmp_path / "l.csv", rows("", "index", shift=0)), []
    assert overridden(file, source, np.arange(len(source)), notes).tolist() == source.labels.tolist()
    assert "positions of classes (0 = ant, 1 = bee, 2 = cat)" in notes[0]


def test_labels_that_mostly_differ_are_refused_unless_asked(tmp_path: Path, root: Path) -> None:
    """Human labels of which 40 % are wrong pass; rows of other images do not."""
    sound, other = rows(shift=0), rows(shift=1)
    mixed = [*other[:12], *sound[12:]]
    given, folders = own(
        open_splits(f"folder:{root}", test="none", labels=labelled(tmp_path / "l.csv", mixed, max_differing=0.5)),
        "train",
    )
    assert given != folders
    message = refusal(root, labelled(tmp_path / "l.csv", [*other[:13], *sound[13:]], max_differing=0.5))
    for part in ("13 of 24 labels (54.17%) differ", "train/ant/0.png is labelled 'bee'", "max_differing = 1.0"):
        assert part in message


# --- Dialects --------------------------------------------------------------------------------------------------------


def written(csv: Path, lines: list[str], encoding: str = "utf-8") -> LabelFile:
    csv.write_bytes("\r\n".join(lines).encode(encoding))
    return LabelFile(str(csv), "file", "label")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_csv_dialects_are_read(tmp_path: Path, root: Path, encoding: str, separator: str) -> None:
    lines = ["number, file, label", "", *(f"{number},{line}" for number, line in enumerate(rows(shift=0)))]
    text = [line.replace(",", separator) for line in lines]
    given, folders = own(open_splits(f"folder:{root}", labels=written(tmp_path / "l.csv", text, encoding)), "train")
    assert given == folders


@pytest.mark.parametrize(
    ("below", "prefix"),
    [
        ("", "{root}/train/"),
        ("", "{root}\\train\\"),
        ("", "train\\"),
        ("train", "{root}/"),
        ("train", "/elsewhere/photos/"),
        ("train", "C:\\data\\photos\\"),
    ],
)
def test_paths_of_other_programs_and_machines_are_understood(
    tmp_path: Path, root: Path, below: str, prefix: str
) -> None:
    lines = [prefix.format(root=root / below) + line.removeprefix("train/") for line in rows(shift=0)]
    lines = [line.replace("/", "\\") if "\\" in prefix else line for line in lines]
    labels = written(tmp_path / "l.csv", ["file,label", *lines])
    given, folders = own(open_splits(f"folder:{root / below}", labels=labels), "train")
    assert given == folders


def test_paths_of_another_folder_are_not_taken_for_those_of_the_source(tmp_path: Path, root: Path) -> None:
    """Absolute paths below two folders: the file is on more images than the source has."""
    lines = rows(shift=0)
    moved = [f"/a/{line.removeprefix('train/')}" for line in lines[:12]] + [
        f"/b/{line.removeprefix('train/')}" for line in lines[12:]
    ]
    assert "12 rows name images that are not" in refusal(
        root / "train", written(tmp_path / "l.csv", ["file,label", *moved])
    )


def test_a_plan_says_what_the_labels_are(tmp_path: Path, root: Path) -> None:
    from PIL import Image

    for file in root.rglob("*.png"):
        Image.new("RGB", (32, 32)).save(file)
    labelled(tmp_path / "l.csv", rows())
    recipe = recipe_of(root, tmp_path)
    plan = make_plan(recipe, open_data(recipe))
    assert any("l.csv, column label, read as names of classes" in note for note in plan.notes)
