"""Average precision equals pycocotools', whatever the ranks; tables, worst images, an evaluation class by class."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core.detection import Detected, Detections, Limits
from fewer.core.ragged import Ragged
from fewer.core.types import Batch
from fewer.sync.comm import SingleProcess
from fewer.tasks import detect
from fewer.tasks.detect.metrics import metric_names
from fewer.testing.comparing import alike
from fewer.testing.threads import on_ranks

CLASSES = ("cat", "dog", "never")
SIZE = (200.0, 150.0)


class Told(torch.nn.Module):
    """A detector that says what it was told of each image: `image[0, 0, 0]` is its number."""

    def __init__(self, found: dict[int, Detections]) -> None:
        super().__init__()
        self.found, self.weight = found, torch.nn.Parameter(torch.zeros(()))

    def forward(self, image_BCHW: torch.Tensor, targets: Any = None) -> Detected:
        ids = image_BCHW[:, 0, 0, 0].long().tolist()
        ones_B = torch.ones(len(ids))
        losses = {"class": torch.tensor([float(id % 7) for id in ids]), "box": 0.5 * ones_B}

        def find(limits: Limits) -> list[Detections]:
            kept = [self.found[id].score_K > limits.score for id in ids]
            return [
                Detections(found.box_K4[kept_K], found.label_K[kept_K], found.score_K[kept_K])
                for found, kept_K in zip((self.found[id] for id in ids), kept, strict=True)
            ]

        return Detected(len(CLASSES), find, losses, ones_B.long(), ones_B)


def case(seed: int, images: int = 12, ignored: float = 0.0) -> tuple[Told, Batch]:
    """Objects, some of them crowds, a share of the others ignored, and detections near them, of two of three classes;
    some images have neither."""
    chance = np.random.default_rng(seed)
    found, targets = {}, []
    for id in range(images):
        count = int(chance.integers(0, 5)) if id % 5 else 0
        corner = chance.uniform(0, [SIZE[0] - 60, SIZE[1] - 60], (count, 2))
        own = np.concatenate([corner, corner + chance.uniform(4, 60, (count, 2))], 1)
        labels, crowd = chance.integers(0, 2, count), chance.random(count) < 0.15
        near = np.concatenate([own, own, chance.uniform([0, 0, 60, 60], [60, 60, 120, 120], (2, 4))])
        near[: 2 * count] += chance.normal(0, 3, (2 * count, 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        near = np.clip(near, 0, [*SIZE, *SIZE])
        said = np.concatenate([labels, chance.integers(0, 2, count + 2)])
        scores = np.sort(np.round(chance.uniform(0.02, 1, len(near)), 2))[::-1].copy()  # some of them equal
        frame = torch.from_numpy(near / 2 + [10, 0, 10, 0])  # half as large, 10 px from the left
        found[id] = Detections(frame, torch.from_numpy(said), torch.from_numpy(scores))
        targets.append(
            {
                "boxes": torch.from_numpy(own[~crowd] / 2).float(),
                "labels": torch.from_numpy(labels[~crowd]),
                "own_boxes": torch.from_numpy(own),
                "own_labels": torch.from_numpy(labels),
                "own_crowd": torch.from_numpy(crowd),
                "own_ignored": torch.from_numpy(~crowd & (np.random.default_rng([seed, id]).random(count) < ignored)),
                "own_area": torch.from_numpy((own[:, 2:] - own[:, :2]).prod(1) * 0.8),
                "size": torch.tensor(SIZE).long(),
                "to_picture": torch.tensor([2.0, -20.0, 2.0, 0.0], dtype=torch.float64),
            }
        )
    images_BCHW = torch.arange(images, dtype=torch.float64)[:, None, None, None].expand(-1, 3, 4, 4)
    return Told(found), Batch(torch.arange(images), images_BCHW, Ragged(tuple(targets)))


def pycocotools_stats(model: Told, batch: Batch) -> list[float]:
    """AP, AP50, AP75, and AP of small, medium and large objects by the reference implementation."""
    with contextlib.redirect_stdout(io.StringIO()):
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        class Ignoring(COCOeval):  # type: ignore[misc]
            """The flag of crowds stands in for that of ignored objects there; this keeps both."""

            def _prepare(self) -> None:
                super()._prepare()
                for objects in self._gts.values():
                    for each in objects:
                        each["ignore"] = each["iscrowd"] or each["difficult"]

        objects, detections = [], []
        for id, target in zip(batch.ids_B.tolist(), batch.targets, strict=True):
            columns = (target[f"own_{name}"].tolist() for name in ("boxes", "labels", "crowd", "ignored", "area"))
            for (x0, y0, x1, y1), label, crowd, ignored, area in zip(*columns, strict=True):
                box = [x0, y0, x1 - x0, y1 - y0]
                entry = {"id": len(objects) + 1, "image_id": id, "category_id": label + 1, "bbox": box}
                objects.append({**entry, "area": area, "iscrowd": int(crowd), "difficult": int(ignored)})
            found = model.found[id]
            for box_4, label, score in zip(found.box_K4, found.label_K.tolist(), found.score_K.tolist(), strict=True):
                x0, y0, x1, y1 = (box_4 * 2 - torch.tensor([20.0, 0, 20, 0], dtype=torch.float64)).tolist()
                box = [x0, y0, x1 - x0, y1 - y0]
                detections.append({"image_id": id, "category_id": label + 1, "bbox": box, "score": score})
        truth = COCO()
        truth.dataset = {
            "images": [{"id": id} for id in batch.ids_B.tolist()],
            "categories": [{"id": number + 1} for number in range(len(CLASSES))],
            "annotations": objects,
        }
        truth.createIndex()
        evaluation = Ignoring(truth, truth.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return list(evaluation.stats[:6])


NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 1.0]))
def test_average_precision_is_pycocotools(seed: int, ignored: float) -> None:
    """In pixels of the pictures, with crowds, ignored objects, equal scores and images of nothing; what it calls -1 is
    left out."""
    model, batch = case(seed, ignored=ignored)
    found = detect.plain(CLASSES).evaluate(model, [batch], SingleProcess()).scalars
    for name, expected in zip(NAMES, pycocotools_stats(model, batch), strict=True):
        if expected < 0:
            assert name not in found or (found[name] == 0 and name in ("ap", "ap50"))
        else:
            assert found[name] == pytest.approx(expected, abs=1e-9), name
    assert set(found) <= set(metric_names(()))


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_together_find_what_one_finds(ranks: int) -> None:
    """Tables, worst images and their boxes too; a rank may have no images at all."""
    model, batch = case(3)
    task = detect.plain(CLASSES)
    whole = task.evaluate(model, [batch], SingleProcess())
    singles = [batch.take(slice(i, i + 1)) for i in range(len(batch))]
    shares = [singles[0::2], singles[1::2], []]
    for found in on_ranks(ranks, lambda comm: task.evaluate(model, shares[comm.rank], comm)):
        assert alike(found.scalars, whole.scalars)
        assert found.tables == whole.tables
        assert found.worst == whole.worst


def test_tables_tell_of_each_class() -> None:
    model, batch = case(4)
    found = detect.plain(CLASSES).evaluate(model, [batch], SingleProcess())
    table = found.tables["per_class"]
    objects = torch.cat([each["own_labels"][~each["own_crowd"]] for each in batch.targets])
    assert table["objects"] == torch.bincount(objects, minlength=3).tolist()
    assert table["ap"][2] is None, "there is none of this class"
    assert sum(table["ap"][:2]) / 2 == pytest.approx(found.scalars["ap"], abs=1e-12)
    assert sum(table["ap50"][:2]) / 2 == pytest.approx(found.scalars["ap50"], abs=1e-12)
    curves = found.tables["precision_recall"]
    assert len(curves["recall"]) == 101
    assert curves["precision"][2] is None
    for curve, ap50 in zip(curves["precision"][:2], table["ap50"][:2], strict=True):
        assert np.mean(curve) == pytest.approx(ap50, abs=1e-5)
        assert curve == sorted(curve, reverse=True)
    columns = detect.by_class(found.tables, CLASSES)
    assert [column.title for column in columns] == ["class", "objects", "AP", "AP50"]
    assert columns[0].cells == list(CLASSES)
    assert columns[3].cells[2] == "-"
    assert columns[3].cells[0] == f"{table['ap50'][0]:.1%}"


def test_worst_images_have_their_boxes_in_pixels_of_the_picture() -> None:
    model, batch = case(5)
    found = detect.plain(CLASSES).evaluate(model, [batch], SingleProcess())
    assert [sample.id for sample in found.worst[:2]] == [6, 5]
    detail = found.worst[0].detail
    assert (detail["width"], detail["height"]) == SIZE
    target = batch.targets.samples[6]
    assert [each["box"] for each in detail["true"]] == np.round(target["own_boxes"].numpy(), 2).tolist()
    sure = model.found[6].score_K >= 0.3
    assert [each["score"] for each in detail["predicted"]] == model.found[6].score_K[sure].tolist()
    own = model.found[6].box_K4[sure] * 2 - torch.tensor([20.0, 0, 20, 0])
    assert np.allclose([each["box"] for each in detail["predicted"]], own.numpy(), atol=0.006)


def test_without_objects_the_primary_metric_is_0() -> None:
    model, batch = case(6, images=1)
    found = detect.plain(CLASSES).evaluate(model, [batch], SingleProcess())
    assert found.scalars == {"ap": 0.0, "ap50": 0.0, "loss": 0.5, "class_loss": 0.0, "box_loss": 0.5}
    assert found.tables["per_class"]["objects"] == [0, 0, 0]
