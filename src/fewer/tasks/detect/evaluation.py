"""An evaluation put together: what every rank has seen of its images, gathered, so that all compute the same numbers.

B: images of a batch. N: images. D: detections. O: objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from fewer.core.evaluation import Evaluation, WorstSample
from fewer.core.protocols import Comm
from fewer.core.worst import worst_rows
from fewer.tasks.detect import coco
from fewer.tasks.detect.metrics import scalars, tables
from fewer.tasks.detect.prediction import in_picture

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.detection import Detections
    from fewer.core.observation import Outcome
    from fewer.core.types import Batch

_BOXES = 50  # of either kind that are listed of one of the worst images, at most


class Collected:
    """Detections, objects and losses of this rank's images.

    Args:
        classes: Number of classes.
        most: Detections of an image that count.
        shown_score: Detections of a lower score are not listed of the worst images.
    """

    def __init__(self, classes: int, most: int, shown_score: float) -> None:
        self._classes, self._most, self._shown_score = classes, most, shown_score
        self._detections = [torch.empty(0, 7, dtype=torch.float64)]
        self._objects = [torch.empty(0, 9, dtype=torch.float64)]
        self._images = [torch.empty(0, 4, dtype=torch.float64)]  # id, loss, width, height
        self._losses = [torch.zeros(4, dtype=torch.float64)]  # sum, count, class loss, box loss

    def add(self, batch: Batch, found: Sequence[Detections], outcome: Outcome) -> None:
        """Adds a batch of evaluation views."""
        mean_B = outcome.loss_sum_B / outcome.count_B
        parts = [metric_B.sum() for metric_B in outcome.metrics.values()]
        self._losses.append(
            torch.stack([each.double().cpu() for each in (outcome.loss_sum_B.sum(), outcome.count_B.sum(), *parts)])
        )
        sizes, rows, objects = [], [], []
        for id, each, target in zip(batch.ids_B.tolist(), found, batch.targets, strict=True):
            assert isinstance(target, dict)
            sizes.append(target["size"].double())
            rows.append(_with_id(id, in_picture(each, target)))
            names = ("own_labels", "own_boxes", "own_area", "own_crowd", "own_ignored")
            own = [target[name].double().view(-1, 4 if name == "own_boxes" else 1) for name in names]
            objects.append(_with_id(id, torch.cat(own, dim=1)))
        self._detections.append(torch.cat(rows).cpu())
        self._objects.append(torch.cat(objects).cpu())
        ids_loss_B2 = torch.stack([batch.ids_B.double().cpu(), mean_B.double().cpu()], dim=1)
        self._images.append(torch.cat([ids_loss_B2, torch.stack(sizes).cpu()], dim=1))

    def evaluation(self, comm: Comm) -> Evaluation:
        """The evaluation of all ranks together; every one must call it, and gets the same."""
        worst = worst_rows(torch.cat(self._images), comm)
        detection_D7, object_O9 = (
            _by_image(comm.gather(torch.cat(each))) for each in (self._detections, self._objects)
        )
        ids = comm.gather(torch.cat(self._images)[:, 0].contiguous()).long().sort().values
        losses = torch.stack(self._losses).sum(0)
        comm.all_reduce(losses)
        loss, count, class_loss, box_loss = losses.tolist()
        precision = coco.precision(detection_D7.numpy(), object_O9.numpy(), ids.tolist(), self._classes, self._most)
        counts_O = (object_O9[:, [coco.CROWD, coco.IGNORED]] == 0).all(1)
        label_O = object_O9[counts_O][:, coco.CLASS].long()
        found = {
            **scalars(precision),
            "loss": loss / max(1.0, count),
            "class_loss": class_loss / max(1, len(ids)),
            "box_loss": box_loss / max(1, len(ids)),
        }
        listed = [self._worst(row, detection_D7, object_O9) for row in worst.tolist()]
        return Evaluation(found, tables(precision, torch.bincount(label_O, minlength=self._classes).tolist()), listed)

    def _worst(self, row: Sequence[float], detection_D7: Tensor, object_O9: Tensor) -> WorstSample:
        """One of the images with the highest losses, with boxes in pixels of the picture."""
        id, loss, width, height = row
        found = detection_D7[detection_D7[:, coco.IMAGE] == id]
        found = found[found[:, coco.SCORE] >= self._shown_score]
        true = object_O9[object_O9[:, coco.IMAGE] == id]
        detail: dict[str, Any] = {
            "width": int(width),
            "height": int(height),
            "predicted": [{**_box(each), "score": round(each[coco.SCORE], 4)} for each in found[:_BOXES].tolist()],
            "true": [
                {**_box(each), "crowd": bool(each[coco.CROWD]), **({"difficult": True} if each[coco.IGNORED] else {})}
                for each in true[:_BOXES].tolist()
            ],
        }
        return WorstSample(int(id), loss, detail)


def _with_id(id: int, rows: Tensor) -> Tensor:
    return torch.cat([rows.new_full((len(rows), 1), id), rows], dim=1)


def _by_image(rows: Tensor) -> Tensor:
    """Rows in the order of their images, those of an image in their own: whichever rank has seen them."""
    return rows[rows[:, coco.IMAGE].argsort(stable=True)]


def _box(row: Sequence[float]) -> dict[str, Any]:
    corners = row[coco.LEFT : coco.BOTTOM + 1]
    return {"class": int(row[coco.CLASS]), "box": [round(each, 2) for each in corners]}
