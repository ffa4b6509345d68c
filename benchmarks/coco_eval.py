"""Seconds of evaluating detections by COCO's rules, beside torchvision's reference evaluation of the same ones.

    python benchmarks/coco_eval.py [--images 1000] [--rounds 3]

Made-up objects and detections near them, 20 classes, seven objects and thirty detections an image. The other side does
what references/detection of torchvision 0.29 does with them: pycocotools loads the results image by image, evaluates
each, and accumulates. Interleaved in this process; medians. One line a call in results/coco_eval.jsonl.
"""

from __future__ import annotations

import contextlib
import io
import time
from typing import Any

import numpy as np
from common import Results, parsed, parser, summary

CLASSES, OBJECTS, FOUND = 20, 7, 30


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--images", type=int, default=1000)
    command.add_argument("--rounds", type=int, default=3)
    args = parsed(command, "--images=20", "--rounds=1")
    objects, detections = made_up(args.images)
    seconds: dict[str, list[float]] = {"ours": [], "reference": []}
    for _ in range(args.rounds):
        for name, evaluate in (("ours", ours), ("reference", theirs)):
            began = time.perf_counter()
            ap = evaluate(objects, detections, args.images)
            seconds[name].append(time.perf_counter() - began)
            print(f"{name}: AP {ap:.6f}, {seconds[name][-1]:.2f} s")
    found = {name: summary(values) for name, values in seconds.items()}
    ratio = found["ours"]["median"] / found["reference"]["median"]
    print(f"ours over the reference: {ratio:.3f}")
    Results("coco_eval", args.smoke).keep(images=args.images, seconds=found, ratio=ratio)


def made_up(images: int) -> tuple[Any, Any]:
    """Rows of objects and of detections, as `fewer.tasks.detect.coco.precision` takes them."""
    random = np.random.default_rng(0)
    objects, detections = [], []
    for image in range(images):
        corner = random.uniform(0, 400, (OBJECTS, 2))
        box = np.concatenate([corner, corner + random.uniform(10, 120, (OBJECTS, 2))], 1)
        label = random.integers(0, CLASSES, OBJECTS)
        area = (box[:, 2:] - box[:, :2]).prod(1)
        objects.append(np.column_stack([np.full(OBJECTS, image), label, box, area, np.zeros((OBJECTS, 2))]))
        near = random.integers(0, OBJECTS, FOUND)
        moved = box[near] + random.normal(0, 8, (FOUND, 4))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        detections.append(np.column_stack([np.full(FOUND, image), label[near], moved, random.uniform(0, 1, FOUND)]))
    return np.concatenate(objects), np.concatenate(detections)


def ours(objects: Any, detections: Any, images: int) -> float:
    """AP by the task's own evaluation."""
    from fewer.tasks.detect.coco import precision

    found = precision(detections, objects, range(images), CLASSES, 100)[..., 0]
    return float(found[found > -1].mean())


def theirs(objects: Any, detections: Any, images: int) -> float:
    """AP as torchvision's `CocoEvaluator` computes it."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    shared = {"images": [{"id": image} for image in range(images)], "categories": [{"id": c} for c in range(CLASSES)]}
    with contextlib.redirect_stdout(io.StringIO()):
        true = COCO()
        true.dataset = {**shared, "annotations": [annotation(n, row) for n, row in enumerate(objects.tolist(), 1)]}
        true.createIndex()
        whole = COCOeval(iouType="bbox")
        whole.cocoGt, parts = true, []
        for image in range(images):
            rows = detections[detections[:, 0] == image].tolist()
            results = [{**annotation(n, row), "score": row[6]} for n, row in enumerate(rows, 1)]
            each = COCOeval(true, COCO.loadRes(true, results), iouType="bbox")
            each.params.imgIds = [image]
            each.evaluate()
            parts.append(np.asarray(each.evalImgs).reshape(-1, len(each.params.areaRng), 1))
        whole.params.imgIds, whole.params.catIds = list(range(images)), list(range(CLASSES))
        whole.evalImgs = list(np.concatenate(parts, 2).flatten())
        whole._paramsEval = whole.params
        whole.accumulate()
        whole.summarize()
    return float(whole.stats[0])


def annotation(number: int, row: list[float]) -> dict[str, Any]:
    """A row as COCO writes it."""
    image, label, left, top, right, bottom = row[:6]
    wide, high = right - left, bottom - top
    return {
        "id": number,
        "image_id": int(image),
        "category_id": int(label),
        "bbox": [left, top, wide, high],
        "area": wide * high,
        "iscrowd": 0,
    }


if __name__ == "__main__":
    main()
