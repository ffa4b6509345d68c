"""Run folders of detection and segmentation, made by hand, in whose names is what a page must not run."""

from __future__ import annotations

import io
import json
from pathlib import Path

from PIL import Image

from run_folders import Json, build

NAMES = ["Platelets", "<img src=x onerror=alert(1)>", "fly\u202e\x1b"]


def dense_run(folder: Path, task: str, classes: int = 3, split: str = "test") -> Path:
    """A finished run with everything that a report shows of it."""
    names = [*NAMES, *(f"class {i}" for i in range(3, classes))][:classes]
    build(folder, epochs=4, steps=3, classes=names, val=False)
    primary, second = ("ap", "ap50") if task == "detect" else ("miou", "pixel_accuracy")
    metric = {"higher_is_better": True, "is_share": True, "counts_images": False}
    labels = {"ap": "AP", "ap50": "AP50", "miou": "mIoU", "pixel_accuracy": "pixel accuracy"}
    known = [{"name": name, "label": labels[name], **metric} for name in (primary, second)]
    plan = json.loads((folder / "plan.json").read_text())
    plan["task"] = {"name": task, "primary": primary, "metrics": known, "validation_metrics": [primary, second]}
    (folder / "plan.json").write_text(json.dumps(plan))
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    rows += [
        {"kind": "evaluation", "split": "val", "epoch": epoch, "step": 3 * epoch + 3, "seconds": 9.0, "fee": 1.0,
         "scalars": {primary: 0.1 * epoch, second: 0.2 * epoch, "loss": 2.0 - 0.3 * epoch}}
        for epoch in range(4)
    ]  # fmt: skip
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = json.loads((folder / "result.json").read_text())
    result["metrics"] = {f"{split}/{primary}": 0.4312, f"{split}/{second}": 0.81, f"{split}/loss": 0.5}
    result["best"] = {"epoch": 3, "metric": f"val/{primary}", "value": 0.4312, "checkpoint": "checkpoints/best"}
    found = detection_tables(classes) if task == "detect" else segmentation_tables(classes)
    result["tables"] = {f"{split}/{key}": value for key, value in {**found, **worst(folder, task)}.items()}
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "previews" / "validation.jpg").write_bytes(jpeg(900, 500))
    (folder / "previews" / "stage-1.jpg").write_bytes(jpeg(900, 500))
    return folder


def detection_tables(classes: int) -> Json:
    recall = [round(step / 100, 2) for step in range(101)]
    curves = [[max(0.0, 1 - x ** (1 + index)) for x in recall] if index != 2 else None for index in range(classes)]
    shares = [None if index == 2 else 0.9 / (1 + index) for index in range(classes)]
    return {
        "per_class": {"objects": [100 + 7 * i for i in range(classes)], "ap": shares, "ap50": shares},
        "precision_recall": {"recall": recall, "precision": curves},
    }


def segmentation_tables(classes: int) -> Json:
    matrix = [[0] * classes for _ in range(classes)]
    for index in range(classes - 1):  # the last class is not there
        matrix[index][index], matrix[index][(index + 1) % classes] = 1_000_000 // (1 + index), 1_000 * index
    right = [matrix[i][i] for i in range(classes)]
    true, said = [sum(row) for row in matrix], [sum(column) for column in zip(*matrix, strict=True)]
    union = [true[i] + said[i] - right[i] for i in range(classes)]
    return {
        "confusion": matrix,
        "per_class_iou": [right[i] / union[i] if union[i] else None for i in range(classes)],
        "per_class_accuracy": [right[i] / true[i] if true[i] else None for i in range(classes)],
        "per_class_pixels": true,
        "definitions": {"miou": "mean IoU over the classes that are there", "<b>": "<script>alert(1)</script>"},
    }


def worst(folder: Path, task: str) -> Json:
    (folder / "previews" / "worst").mkdir(parents=True, exist_ok=True)
    samples = []
    for place in range(1, 6):
        (folder / "previews" / "worst" / f"{place:03d}.jpg").write_bytes(jpeg(422, 156))
        thing = {"class": 1, "box": [1, 2, 3, 4]}
        detail: Json = (
            {"width": 9, "height": 9, "true": [{**thing, "crowd": place == 1}], "predicted": [{**thing, "score": 0.5}]}
            if task == "detect"
            else {"miou": 0.25 if place > 1 else None, "pixel_accuracy": 0.5}
        )
        samples.append({"id": place, "loss": 3.0, "thumbnail": f"previews/worst/{place:03d}.jpg", **detail})
    return {"worst": [f"a/<i>{place}.jpg" for place in range(1, 6)], "worst_samples": samples}


def jpeg(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.radial_gradient("L").resize((width, height)).convert("RGB").save(out, "JPEG", quality=60)
    return out.getvalue()
