"""Metrics of segmentation equal scikit-learn's and a count of sets; policy for classes that are not there."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as theirs
from torch import Tensor

from fewer.tasks.segment.by_class import by_class
from fewer.tasks.segment.metrics import METRICS, image_miou, metric_names, scalars, tables

LABELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


def confusion(pairs: list[tuple[int, int]], classes: int = 6) -> Tensor:
    true, said = zip(*pairs, strict=True)
    return torch.from_numpy(theirs.confusion_matrix(true, said, labels=range(classes)))


@given(LABELS)
def test_miou_is_scikit_learns_jaccard_score_and_a_count_of_sets(pairs: list[tuple[int, int]]) -> None:
    true, said = map(np.array, zip(*pairs, strict=True))
    found = scalars(confusion(pairs), 3.0, len(pairs))
    seen = sorted({*true.tolist(), *said.tolist()})
    assert found["miou"] == pytest.approx(theirs.jaccard_score(true, said, labels=seen, average="macro"))
    sets = [({*np.flatnonzero(true == each)}, {*np.flatnonzero(said == each)}) for each in seen]
    assert found["miou"] == pytest.approx(np.mean([len(a & b) / len(a | b) for a, b in sets]))
    assert found["pixel_accuracy"] == pytest.approx(theirs.accuracy_score(true, said))
    present = sorted(set(true.tolist()))
    recalls = theirs.recall_score(true, said, labels=present, average="macro", zero_division=0)
    assert found["mean_accuracy"] == pytest.approx(recalls)
    weighted = theirs.jaccard_score(true, said, labels=present, average="weighted", zero_division=0)
    assert found["fw_iou"] == pytest.approx(weighted)
    assert found["loss"] == pytest.approx(3.0 / len(pairs))
    assert set(found) == {metric.name for metric in METRICS} == set(metric_names(()))


def test_a_class_that_is_neither_there_nor_predicted_is_left_out_and_a_predicted_one_counts_0() -> None:
    right = torch.tensor([[5, 0, 0], [0, 5, 0], [0, 0, 0]])
    assert scalars(right, 0.0, 10)["miou"] == 1
    assert tables(right)["per_class_iou"] == [1, 1, None]
    predicted = torch.tensor([[5, 0, 0], [0, 4, 1], [0, 0, 0]])
    assert scalars(predicted, 0.0, 10)["miou"] == pytest.approx((1 + 0.8 + 0) / 3)
    assert tables(predicted)["per_class_iou"][2] == 0
    assert tables(predicted)["per_class_accuracy"][2] is None


def test_a_set_without_valid_pixels_has_numbers_all_the_same() -> None:
    empty = torch.zeros(3, 3, dtype=torch.int64)
    assert set(scalars(empty, 0.0, 0).values()) == {0}
    assert image_miou(empty) == -1
    json.dumps(tables(empty), allow_nan=False)


def test_counts_beyond_what_float32_holds_stay_exact() -> None:
    large = torch.tensor([[2**40 + 1, 0], [0, 1]])
    assert tables(large)["confusion"] == large.tolist()
    assert tables(large)["per_class_iou"] == [1, 1]


def test_the_table_by_class_says_what_each_is_taken_for() -> None:
    counts = torch.tensor([[6, 2, 0], [0, 0, 0], [1, 0, 1]])
    columns = {column.title: column.cells for column in by_class(tables(counts), ("road", "sky", "tree"))}
    assert columns["class"] == ["road", "sky", "tree"]
    assert columns["pixels"] == ["80.0%", "0.0%", "20.0%"]
    assert columns["IoU"] == ["66.7%", "0.0%", "50.0%"]
    assert columns["accuracy"] == ["75.0%", "-", "50.0%"]
    assert columns["precision"] == ["85.7%", "0.0%", "100.0%"]
    assert columns["taken for"] == ["sky", "", "road"]
