"""Suspected boxes: missing, of another class, or at which nothing is found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewer.core.suspicion import Suspicion
from fewer.tasks.detect.suspects import FAINT, SURE, Suspected

HERE, NEAR, THERE = (10.0, 10.0, 50.0, 40.0), (12.0, 11.0, 52.0, 40.0), (100.0, 10.0, 140.0, 50.0)
Box = tuple[float, float, float, float]


ALL_KNOWN = [(label, (500.0, 500.0, 540.0, 540.0)) for label in range(3)]


def asked(
    detections: list[tuple[int, Box, float]], boxes: list[tuple[int, Box]], *crowds: Box, difficult: Sequence[Box] = ()
) -> list[Suspicion]:
    rows = torch.tensor([[label, *box, score] for label, box, score in detections], dtype=torch.float64).view(-1, 6)
    own = [*boxes, *((0, crowd) for crowd in crowds)]
    target = {
        "own_boxes": torch.tensor([box for _, box in own], dtype=torch.float64).view(-1, 4),
        "own_labels": torch.tensor([label for label, _ in own], dtype=torch.int64),
        "own_crowd": torch.tensor([False] * len(boxes) + [True] * len(crowds), dtype=torch.bool),
        "own_ignored": torch.tensor([box in difficult for _, box in own], dtype=torch.bool),
    }
    suspected = Suspected(3)
    suspected.add(3, rows, target)
    for _ in range(30):  # other images, on which the model is right
        suspected.add(4, *agreed(ALL_KNOWN))
    return suspected.found()


def agreed(own: list[tuple[int, Box]]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A picture in which each box is found."""
    boxes = torch.tensor([box for _, box in own], dtype=torch.float64)
    labels = torch.tensor([label for label, _ in own])
    rows = torch.cat([labels[:, None].double(), boxes, torch.ones(len(own), 1, dtype=torch.float64)], dim=1)
    none = torch.zeros(len(own), dtype=torch.bool)
    return rows, {"own_boxes": boxes, "own_labels": labels, "own_crowd": none, "own_ignored": none}


def test_a_sure_detection_without_a_box_is_a_missing_box() -> None:
    for boxes in ([], [(0, THERE)]):
        found = [each for each in asked([(1, HERE, 0.9), (0, THERE, 0.9)], boxes) if each.kind == "missing box"]
        assert (3, "missing box", None, 1, 0.9, HERE) in [
            (each.id, each.kind, each.annotated, each.predicted, each.sure, each.box) for each in found
        ]
        assert len(found) == 2 - len(boxes)
    assert asked([(1, HERE, SURE)], []) == [], "not sure enough"
    assert asked([(1, HERE, 0.9)], [], (0.0, 0.0, 60.0, 60.0)) == [], "a crowd is there"
    assert len(asked([(1, HERE, 0.9)], [], (0.0, 0.0, 20.0, 60.0))) == 1


def test_a_sure_detection_of_another_class_speaks_against_a_box() -> None:
    (found,) = asked([(1, NEAR, 0.9), (2, NEAR, 0.8)], [(0, HERE)])
    assert (found.kind, found.annotated, found.predicted, found.sure, found.box) == (
        "box of another class", 0, 1, 0.9, HERE,
    )  # fmt: skip
    assert asked([(1, NEAR, 0.9), (0, NEAR, 0.1)], [(0, HERE)]) == [], "its own class is found too"
    assert asked([(1, NEAR, 0.6)], [(0, HERE)]) == []
    assert asked([(1, NEAR, 0.9)], [(0, HERE), (1, NEAR)]) == [], "it is the neighbour, a rider's horse"


def test_a_box_at_which_nothing_is_found_is_doubtful_by_how_many_others_are() -> None:
    boxes: list[tuple[int, Box]] = [(0, (60.0 * i, 0.0, 60.0 * i + 40, 40.0)) for i in range(5)]
    for known in range(5):
        detections = [(0, box, FAINT) for _, box in boxes[:known]]
        found = asked(detections, boxes)
        assert [each.box for each in found] == [box for _, box in boxes[known:]]
        assert all(each.kind == "doubtful box" and each.predicted is None for each in found)
        assert all(each.sure == pytest.approx(0.7 * known / 4) for each in found)
    assert [each.sure for each in asked([], boxes[:1])] == [0.0]


boxes = st.tuples(st.integers(0, 80), st.integers(0, 80), st.integers(5, 60), st.integers(5, 60)).map(
    lambda each: (float(each[0]), float(each[1]), float(each[0] + each[2]), float(each[1] + each[3]))
)


@given(st.lists(st.tuples(st.integers(0, 2), boxes), max_size=6))
def test_a_detector_that_agrees_suspects_nothing(own: list[Any]) -> None:
    assert asked([(label, box, 0.99) for label, box in own], own) == []


@given(
    st.lists(st.tuples(st.integers(0, 2), boxes, st.floats(FAINT, 1)), max_size=6),
    st.lists(st.tuples(st.integers(0, 2), boxes), max_size=6),
    st.lists(boxes, max_size=2),
)
def test_nothing_is_suspected_twice_and_certainty_is_a_share(detections: Any, own: Any, crowds: Any) -> None:
    found = asked(detections, own, *crowds)
    assert all(0 <= each.sure <= 1 for each in found)
    assert sum(each.annotated is not None for each in found) <= len(own)
    assert sum(each.annotated is None for each in found) <= sum(score > SURE for *_, score in detections)


def test_a_difficult_box_is_not_suspected_and_speaks_for_what_is_found_at_it() -> None:
    assert len(asked([], [(0, HERE)])) == len(asked([(1, NEAR, 0.9)], [(0, HERE)])) == 1
    assert asked([], [(0, HERE)], difficult=[HERE]) == []
    assert asked([(1, NEAR, 0.9)], [(0, HERE)], difficult=[HERE]) == [], "another class, or a missing box"
    found = [(1, THERE, 0.9)]
    (alone,) = asked(found, [(0, HERE), (1, THERE)])
    other = (200.0, 0.0, 230.0, 30.0)
    (beside,) = asked(found, [(0, HERE), (1, THERE), (0, other)], difficult=[other])
    assert alone == beside


def test_a_class_that_the_model_does_not_know_has_no_doubtful_boxes() -> None:
    """It is silent of one that it mostly overlooks; of the others it speaks."""
    suspected = Suspected(2)
    target = {
        "own_boxes": torch.tensor([HERE, THERE], dtype=torch.float64),
        "own_labels": torch.tensor([0, 1]),
        "own_crowd": torch.tensor([False, False]),
        "own_ignored": torch.tensor([False, False]),
    }
    found = [torch.tensor([[1, *THERE, 0.9]], dtype=torch.float64)] * 9 + [torch.empty(0, 6, dtype=torch.float64)]
    for id, rows in enumerate(found):
        suspected.add(id, rows, target)
    assert [(each.id, each.annotated) for each in suspected.found()] == [(9, 1)]


def test_a_task_names_those_of_its_images() -> None:
    """With a detector of first weights, which is sure of nothing and knows no class."""
    from boxes import rectangles, seen_whole
    from fewer import models
    from fewer.core.ragged import Ragged
    from fewer.core.suspicion import Suspects
    from fewer.core.types import Batch
    from fewer.tasks import detect

    task = detect.plain(["red", "green", "blue"], aspect=1.5)
    assert isinstance(task, Suspects)
    pictures, targets = rectangles(2, 64, 96, 0)
    batch = Batch(torch.arange(2), pictures, Ragged(tuple(seen_whole(targets, 96, 64))))
    model = models.build("ssdlite_mobilenet_v3_small", classes=3, side_px=96).eval()
    assert task.suspicions(model, [batch]) == []
