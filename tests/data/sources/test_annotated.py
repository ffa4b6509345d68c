"""Sources with boxes or masks: splits, classes of other sources, fingerprints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotated import dataset, mask, photo, xml
from fewer.core.errors import DataError
from fewer.core.objects import ObjectTable
from fewer.data.listing.splits import open_splits
from fewer.data.reading.annotated import rarest
from fewer.data.sources import open_source
from image_files import encoded
from zoo import Files


def boxes(root: Path, labels: str) -> str:
    """One image a letter, with a box of that class; `-` is background."""
    files: Files = {}
    for at, label in enumerate(labels):
        files[f"{at:03}.jpg"] = photo(at)
        files[f"{at:03}.xml"] = xml("", [] if label == "-" else [(label, 2, 2, 9, 9), ("z", 5, 5, 20, 20)])
    return f"voc:{dataset(root, files)}"


def masks(root: Path, names: bytes, values: list[int]) -> str:
    files: Files = {"classes.txt": names}
    for at, value in enumerate(values):
        files |= {f"images/{at}.jpg": photo(at, 2, 1), f"masks/{at}.png": mask([[0, value]])}
    return f"masks:{dataset(root, files)}"


def test_held_out_shares_hold_rare_classes_too(tmp_path: Path) -> None:
    splits = open_splits(boxes(tmp_path, "a" * 20 + "b" * 5 + "-" * 10), test="none", val="20%")
    assert splits.val is not None
    labels = splits.train.source.labels
    assert [splits.classes[i] for i in labels[[0, 20, 25]]] == ["a", "b", "z"]
    assert np.bincount(labels[splits.val.ids_M.numpy()]).tolist() == [4, 1, 2]
    assert not any("no image of" in note for note in splits.notes)


def test_splits_that_lists_give_are_not_said_to_be_folders(tmp_path: Path) -> None:
    lists: Files = {f"ImageSets/Main/{part}.txt": name for part, name in (("train", b"000\n001"), ("val", b"002"))}
    dataset(tmp_path, lists)
    text = boxes(tmp_path, "aab")
    notes = open_splits(text, test="none").notes
    assert any(note.startswith("val is the split val of voc:") and note.endswith("(1 image)") for note in notes), notes


def test_held_out_shares_of_masks_hold_rare_classes_too(tmp_path: Path) -> None:
    """Every image shows the road, every tenth a cat as well."""
    shown = [[0, 1] if at % 10 == 3 else [0, 0] for at in range(40)]
    files: Files = {"classes.txt": b"road\ncat\n"}
    for at, row in enumerate(shown):
        files |= {f"images/{at:02}.jpg": photo(at, 2, 1), f"masks/{at:02}.png": mask([row])}
    text = f"masks:{dataset(tmp_path, files)}"
    for seed in range(8):
        splits = open_splits(text, test="25%", val="50%", split_seed=seed, part="50%", cache=False)
        parts = [part.ids_M.tolist() for part in (splits.train, splits.val, splits.test) if part]
        assert [sum(1 in shown[id] for id in ids) for ids in parts] == [1, 2, 1]
        assert splits.by_masks
        assert any("for test" in note and "stratified by class" in note for note in splits.notes)
        assert splits.train.source.labels.tolist() == [0] * 40, "manifests stay"
        assert any("subset of" in note and "stratified by class" in note for note in splits.notes)
    drawn = [
        open_splits(text, test="25%", val="none", split_seed=s, part="50%", cache=False, strata="none")
        for s in range(8)
    ]
    rare = [sum(1 in shown[id] for id in each.test.ids_M.tolist()) for each in drawn if each.test]
    assert len({*rare}) > 1, "by chance"
    assert not any(each.by_masks for each in drawn)
    assert all("drawn by chance" in note for each in drawn for note in each.notes if "split_seed" in note)
    assert all("subset of 15 of 30" in each.notes[-1] for each in drawn)


def test_masks_that_all_show_the_same_are_drawn_as_by_chance(tmp_path: Path) -> None:
    text = masks(tmp_path, b"a\nb\n", [1] * 30)
    one, other = (open_splits(text, val="20%", cache=False, strata=each) for each in ("auto", "none"))
    assert one.fingerprint == other.fingerprint
    assert not one.by_masks


def test_boxes_of_a_split_are_counted_by_class(tmp_path: Path) -> None:
    splits = open_splits(boxes(tmp_path, "aab-" + "a" * 16), test="none", val="20%")
    assert splits.val is not None
    total = np.array(splits.train.class_objects()) + splits.val.class_objects()
    assert total.tolist() == [18, 1, 19]
    assert splits.train.without(splits.train.ids_M).class_objects() == [0, 0, 0]
    assert open_splits("digits", "none", "none").train.class_objects() == []


def test_a_part_without_a_class_is_noted_by_its_boxes(tmp_path: Path) -> None:
    boxes(tmp_path, "ab")
    dataset(
        tmp_path, {"ImageSets/Main/train.txt": b"000\n001\n", "ImageSets/Main/val.txt": b"002\n", "002.jpg": photo(9)}
    )
    dataset(tmp_path, {"002.xml": xml("", [("a", 2, 2, 9, 9)])})
    notes = open_splits(f"voc:{tmp_path}", test="none").notes
    assert "the val set has no image of b, z" in notes


def test_the_rarest_class_is_that_of_fewest_objects() -> None:
    box = [0, 0, 1, 1]
    table = ObjectTable.of([([box] * 3, [0, 0, 2]), ([], []), ([box] * 2, [0, 1]), ([box], [1]), ([box], [0])])
    assert rarest(table, 4).tolist() == [2, 0, 1, 1, 0]


def test_boxes_of_another_source_are_of_the_classes_of_training(tmp_path: Path) -> None:
    other = boxes(tmp_path / "other", "cb")
    splits = open_splits(boxes(tmp_path / "own", "abc"), test=other, val="none")
    assert splits.test is not None
    table = splits.test.source.objects
    assert table is not None
    assert [splits.classes[i] for i in table.class_A] == ["c", "z", "b", "z"]
    assert [splits.classes[i] for i in splits.test.label_N] == ["c", "b"]
    with pytest.raises(DataError, match=r"class 'q' of the test set is unknown in training"):
        open_splits(boxes(tmp_path / "own", "abc"), test=boxes(tmp_path / "third", "q"), val="none")


def test_masks_of_another_source_are_of_the_classes_of_training(tmp_path: Path) -> None:
    own, other = masks(tmp_path / "a", b"a\nb\nc\n", [1, 2]), masks(tmp_path / "b", b"c\nvoid\na\n", [1, 2])
    splits = open_splits(own, test=other, val="none")
    assert splits.test is not None
    assert splits.test.source.read_mask(0).tolist() == [[2, 255]]
    assert splits.test.source.read_mask(1).tolist() == [[2, 0]]
    assert splits.classes == ["a", "b", "c"]


def test_the_fingerprint_holds_what_images_are_annotated_with(tmp_path: Path) -> None:
    text = boxes(tmp_path / "voc", "aab")
    first = open_splits(text, test="none", val="none").fingerprint
    assert open_splits(text, test="none", val="none").fingerprint == first
    dataset(tmp_path / "voc", {"001.xml": xml("", [("a", 2, 2, 9, 10), ("z", 5, 5, 20, 20)])})
    assert open_splits(text, test="none", val="none").fingerprint != first
    text = masks(tmp_path / "masks", b"a\nb\n", [1, 1])
    first = open_splits(text, test="none", val="none").fingerprint
    dataset(tmp_path / "masks", {"masks/1.png": mask([[1, 1]])})
    assert open_splits(text, test="none", val="none").fingerprint != first


def test_the_fingerprint_holds_what_colours_mean(tmp_path: Path) -> None:
    content = encoded(Image.fromarray(np.array([[[0, 0, 0], [128, 0, 0]]], np.uint8)))
    files: Files = {f"images/{at}.jpg": photo(at, 2, 1) for at in range(2)}
    files |= {f"masks/{at}.png": content for at in range(2)}
    found = set()
    for table in (b"road,0,0,0\nsky,128,0,0\n", b"road,128,0,0\nsky,0,0,0\n"):
        dataset(tmp_path, files | {"class_dict.csv": b"name,r,g,b\n" + table})
        found.add(open_splits(f"masks:{tmp_path}", test="none", val="none").fingerprint)
    assert len(found) == 2


def test_images_are_read_and_stamped_as_files(tmp_path: Path) -> None:
    for text in (boxes(tmp_path / "voc", "aab"), masks(tmp_path / "masks", b"a\nb\n", [1, 1])):
        source = open_source(text)
        place, size, _ = source.stamp(1) or ("", 0, 0)
        assert source.read(1) == Path(place).read_bytes()
        assert size == int(source.sizes[1]) == len(source.read(1))
        assert source.location == text.partition(":")[2]
