"""Which folder is the class: a stated rule, a question where there are two answers, and the user's choice."""

from __future__ import annotations

import pytest

from layouts import layout_refusal, listed

YEARS = [f"{label}/{year}" for label in ("cat", "dog") for year in ("2021", "2022")]


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (("cat", "dog"), ["cat", "dog"]),
        (("archive/cifar/cat", "archive/cifar/dog"), ["cat", "dog"]),
        (("cat/indoor", "cat/outdoor", "dog"), ["cat", "dog"]),
        (("train/n01/images", "train/n02/images", "val/images"), ["n01", "n02"]),
        (("train/a/x/1", "train/a/x/2", "train/b", "test/a/x", "test/b/y"), ["a", "b"]),
    ],
)
def test_the_class_is_found(folders: tuple[str, ...], classes: list[str]) -> None:
    found = listed(*folders)
    assert found.classes == classes
    assert len(found.labels) == 2 * len([f for f in folders if f != "val/images"])
    inside = any(len(folder.removeprefix("train/").split("/")) > 1 for folder in folders if "archive" not in folder)
    assert any("count as their class" in note for note in found.notes) == inside


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (YEARS, ["cat/ and dog/ both hold 2021, 2022", "data.class_level = 1 (cat, dog)", "= 2 (2021, 2022)"]),
        (("images/a", "images/b", "masks/a", "masks/b"), ["masks/ both hold a, b", 'data.source = "folder:x/images"']),
        (("color/a", "color/b", "grayscale/a", "grayscale/b"), ["are not mixed", 'data.source = "folder:x/color"']),
        (("animals/cat", "animals/dog", "cars/bus"), ["which folder is the class?", "= 2 (bus, cat, dog)"]),
        (("cat", "cat/extra", "dog"), ["directly in cat/ and in cat/extra/ inside it", "move cat/extra/ out"]),
    ],
)  # fmt: skip
def test_two_ways_to_read_folders_are_a_question(folders: tuple[str, ...], words: list[str]) -> None:
    message = layout_refusal(*folders)
    assert all(word in message for word in words), message


def test_the_level_is_the_users() -> None:
    assert listed(*YEARS, class_level=1).classes == ["cat", "dog"]
    assert listed(*YEARS, class_level=2).classes == ["2021", "2022"]
    assert any("one name in different places" in note for note in listed(*YEARS, class_level=2).notes)
    parts = listed(*(f"{part}/{path}" for part in ("train", "test") for path in YEARS), class_level=1)
    assert parts.classes == ["cat", "dog"]
    assert listed("cat/a", "cat/b/c", "dog", class_level="innermost").classes == ["a", "c", "dog"]
    assert "data.class_level = 1" in layout_refusal("cat", "dog", class_level=2)
    test = layout_refusal("train/a/x", "train/b/y", "test/a", class_level=2)
    assert "directly in test/a/" in test


def test_images_of_a_class_may_lie_in_its_folder_and_inside_where_asked() -> None:
    found = listed("cat", "cat/1", "dog", class_level=1)
    assert list(found.names) == ["cat/0.png", "cat/1.png", "cat/1/0.png", "cat/1/1.png", "dog/0.png", "dog/1.png"]
    assert found.labels.tolist() == [0, 0, 0, 0, 1, 1]
    assert found.columns[:, 0].tolist() == [1, 2, 1, 2, 1, 2], "sizes stay with their images"


def test_a_split_of_one_class_is_read_as_training_is() -> None:
    found = listed("train/cat/2021", "train/cat/2022", "train/dog", "test/cat/2021", "test/cat/2022")
    assert found.classes == ["cat", "dog"]


def test_empty_class_folders_are_refused_at_their_level() -> None:
    assert "class folder bee/ holds no images" in layout_refusal("cat", "dog", empty=("bee",))
    assert "train/bee/" in layout_refusal("train/cat/1", "train/dog", "test/cat", empty=("train/bee", "train/bee/1"))
    assert listed("cat/1", "dog", empty=("cat/2", "cat/1/x")).classes == ["cat", "dog"]


def test_accents_encoded_in_two_ways_are_one_class() -> None:
    composed, separate = "caf\u00e9", "cafe\u0301"
    found = listed(f"train/{composed}", "train/tea", f"test/{separate}")
    assert found.classes == [composed, "tea"]
    assert any("encoded in two ways" in note for note in found.notes)
    assert listed(separate, "tea").classes == [separate, "tea"], "what was recorded under one spelling keeps it"


def test_a_name_that_is_no_text_is_refused_and_shown_escaped() -> None:
    message = layout_refusal("ant", "b\udce9e")
    assert message.isprintable()
    assert "b\\udce9e/" in message
    assert "UTF-8" in message
