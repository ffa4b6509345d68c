"""Split folders: under their usual names they are splits, and nothing is mixed without a word."""

from __future__ import annotations

import pytest

from fewer.data.listing.split_folders import part_of
from layouts import layout_refusal, listed

EACH = ("cat", "dog")


@pytest.mark.parametrize(
    ("train", "other", "part"),
    [
        ("train", "test", "test"), ("Train", "Test", "test"), ("Training", "Testing", "test"),
        ("Training", "Test", "test"), ("training_set", "test_set", "test"), ("TRAIN", "VAL", "val"),
        ("training", "validation", "val"), ("mydata_train", "mydata_test", "test"), ("seg_train", "seg_test", "test"),
        ("train_images", "test_images", "test"), ("trainImages", "devImages", "val"), ("train2017", "val2017", "val"),
        ("trainval", "test", "test"),
    ],
)  # fmt: skip
def test_usual_names_are_splits(train: str, other: str, part: str) -> None:
    found = listed(*(f"x/{top}/{label}" for top in (train, other) for label in EACH))
    assert found.classes == ["cat", "dog"]
    of = {split: {found.names[i].split("/")[1] for i in ids} for split, ids in found.parts.items()}
    assert of == {"train": {train}, part: {other}}
    renamed = {train, other} - {"train", "test", "val"}
    assert all(f"{name}/" in " ".join(found.notes) for name in renamed), "what is guessed from a name is said"


@pytest.mark.parametrize("name", ["cat", "steamtrain", "contest", "train_test", "value", "2021", "", "тест"])
def test_other_names_are_not(name: str) -> None:
    assert part_of(name) == ""


def test_images_beside_class_folders_are_left_out_with_a_word() -> None:
    found = listed("train/cat", "train/dog", "train", "test/cat", "test/dog", "test")
    assert [sorted({found.names[i].count("/") for i in ids}) for ids in found.parts.values()] == [[2], [2]]
    for part in ("train", "test"):
        assert any(note.startswith(f"left out: 2 images directly in {part}/ (first: ") for note in found.notes)


def test_a_folder_within_the_split_folder_counts_for_nothing() -> None:
    found = listed("seg_train/seg_train/cat", "seg_train/seg_train/dog", "seg_test/seg_test/cat")
    assert found.classes == ["cat", "dog"]
    assert {part: len(ids) for part, ids in found.parts.items()} == {"train": 4, "test": 2}


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (("train_images/a", "train_images/b", "train_masks/a", "test/b"), ["train_images/ and train_masks/", "rename"]),
        (("train/a", "train/b", "test_1/a", "test_2/a"), ["test_1/ and test_2/", "data.test"]),
        (("val/a", "test/a"), ["there is test/, val/ but no train/"]),
        (("cat", "dog", "test/cat", "test/dog"), ["there is test/ but no train/"]),
        (("a/train", "a/test", "b/train", "b/test"), ["a/train/ and a/test/ lie below other folders"]),
        (("x/Train/a", "x/Test/a", "y/b"), ["x/Train/ and x/Test/ lie below other folders"]),
        (("train", "test/a", "test/b"), ["directly in train/ (first: train/0.png)", "no labels", "train/cat/1.png"]),
        (("train_images", "test_images"), ["directly in test_images/", "no labels"]),
        (("train", "test", "cat"), ["directly in test/", "data.class_level = 1 if 'test' is a class"]),
    ],
)  # fmt: skip
def test_what_could_mix_test_into_training_is_refused(folders: tuple[str, ...], words: list[str]) -> None:
    message = layout_refusal(*folders)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    "classes",
    [("bus", "car", "train"), ("invalid", "valid"), ("control", "test"), ("crash_test", "passenger_train", "bus")],
)
def test_a_class_may_be_called_after_a_split(classes: tuple[str, ...]) -> None:
    assert listed(*classes).classes == sorted(classes)
    inside = listed(*(f"{part}/{label}" for part in ("train", "test") for label in classes))
    assert inside.classes == sorted(classes)
    assert set(inside.parts) == {"train", "test"}


def test_two_classes_called_after_splits_are_asked_for_by_level() -> None:
    assert listed("test", "train", class_level=1).classes == ["test", "train"]


@pytest.mark.parametrize("flat", ["test", "test/images", "Test", "test_images"])
def test_a_split_without_class_folders_has_no_labels_and_is_left_out(flat: str) -> None:
    found = listed("train/cat", "train/dog", flat)
    assert found.classes == ["cat", "dog"]
    assert set(found.parts) == {"train"}
    assert len(found.names) == 4
    assert any(f"{flat}/" in note and "no labels" in note and "left out" in note for note in found.notes)


def test_strangers_are_left_out() -> None:
    found = listed("train/a", "train/b", "val/a", "extra/a", "train_masks/a")
    assert {part: len(ids) for part, ids in found.parts.items()} == {"train": 4, "val": 2}
    assert "left out, being neither train/, val/ nor test/: extra/, train_masks/" in found.notes
