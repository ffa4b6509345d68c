"""Precision of detections by COCO's rules, computed by faster-coco-eval.

D: detections of all images. O: objects of all images. Columns of their rows are named below.
T: values of IoU. R: values of recall. C: classes. A: ranges of area.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

IMAGE, CLASS, LEFT, TOP, RIGHT, BOTTOM = range(6)
SCORE = 6  # of a detection's row
AREA, CROWD, IGNORED = 6, 7, 8  # of an object's
_OF_NO_SIZE = -1.0  # an area that lies in no range


def precision(
    detection_D7: npt.NDArray[np.float64],
    object_O9: npt.NDArray[np.float64],
    image_ids: Sequence[int],
    classes: int,
    most: int,
) -> npt.NDArray[np.float64]:
    """Precision at every IoU, recall, class and range of area (all, small, medium, large); -1 where undefined.

    Detections in crowds count as neither right nor wrong, and so does the surest one of an object that is ignored, by
    its IoU with it. The same numbers as pycocotools gives where ignored objects have an area outside all ranges.

    Args:
        detection_D7: Rows of image, class, left, top, right, bottom and score.
        object_O9: Rows of image, class, left, top, right, bottom, area, whether it is a crowd, and whether ignored.
        image_ids: All images, those without objects or detections too.
        classes: Number of classes.
        most: The surest detections of each class in an image that count.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    shared = {"images": [{"id": int(id)} for id in image_ids], "categories": [{"id": c} for c in range(classes)]}
    true, found = COCO(), COCO()
    true.dataset = {**shared, "annotations": list(_objects(object_O9))}
    found.dataset = {**shared, "annotations": list(_detections(detection_D7))}
    for each in (true, found):
        each.createIndex()
    evaluation = COCOeval_faster(true, found, "bbox", print_function=_quiet)
    evaluation.params.maxDets = [most]
    evaluation.evaluate()
    evaluation.accumulate()
    precision_TRCAM: npt.NDArray[np.float64] = evaluation.eval["precision"]
    return precision_TRCAM[..., -1]


def _quiet(*_: object) -> None:
    return


def _boxes(rows: npt.NDArray[np.float64]) -> Iterable[list[float]]:
    sides = rows[:, [LEFT, TOP, RIGHT, BOTTOM]] - np.pad(rows[:, [LEFT, TOP]], ((0, 0), (2, 0)))
    return sides.tolist()  # type: ignore[no-any-return]


def _objects(object_O9: npt.NDArray[np.float64]) -> Iterable[dict[str, Any]]:
    for number, (row, box) in enumerate(zip(object_O9.tolist(), _boxes(object_O9), strict=True), 1):
        yield {
            "id": number,
            "image_id": int(row[IMAGE]),
            "category_id": int(row[CLASS]),
            "bbox": box,
            "area": _OF_NO_SIZE if row[IGNORED] else row[AREA],
            "iscrowd": int(row[CROWD]),
        }


def _detections(detection_D7: npt.NDArray[np.float64]) -> Iterable[dict[str, Any]]:
    for number, (row, box) in enumerate(zip(detection_D7.tolist(), _boxes(detection_D7), strict=True), 1):
        yield {
            "id": number,
            "image_id": int(row[IMAGE]),
            "category_id": int(row[CLASS]),
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
            "score": row[SCORE],
        }
