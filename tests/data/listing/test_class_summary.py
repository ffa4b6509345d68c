"""Classes in a sentence."""

from __future__ import annotations

from fewer.data.listing.class_summary import class_line, class_problem


def test_few_classes_are_all_named_and_many_abridged() -> None:
    assert class_line(["ant", "bee"], [1200, 3]) == "2 classes: ant 1,200, bee 3"
    assert class_line(["ant"], []) == "1 class: ant"
    names, counts = [f"c{i:02d}" for i in range(100)], [50 + (i == 7) - (i == 9) for i in range(100)]
    line = class_line(names, counts)
    assert line == (
        "100 classes: c00 50, c01 50, c02 50, c03 50, c04 50, c05 50, ..., c99 50; smallest: c09 49, largest: c07 51"
    )


def test_one_class_is_too_few() -> None:
    assert class_problem(["a", "b"]) == ""
    assert "1 class ('a')" in class_problem(["a"])
    assert "0 class" in class_problem([])


def test_boxes_need_one_class_and_masks_two() -> None:
    assert class_problem(["a"], "boxes") == ""
    assert "a detector needs one or more" in class_problem([], "boxes")
    assert "masks need two or more" in class_problem(["a"], "masks")
    assert class_problem(["a", "b"], "masks") == ""
