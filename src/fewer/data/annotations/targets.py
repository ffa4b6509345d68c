"""Boxes and masks as the views of their pictures show them: the targets of detection and segmentation.

B: samples of the batch. K: objects of one image. H, W: rows and columns of the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fewer.core.frame import Frame
from fewer.core.objects import ObjectTable
from fewer.core.ragged import Ragged, Values
from fewer.core.types import Request
from fewer.data.augment.view import View

VOID = 255  # of a mask: what is not learnt and not counted
_MIN_VISIBLE = 0.1  # of a box's area
_SMALLEST_PX = 1.0  # of a box's sides in a training view: smaller ones have no pixel of their own
_KEPT_BYTES = 2 << 30  # of decoded masks


@dataclass(frozen=True, slots=True)
class PictureSizes:
    """No annotation but where each picture lies in its frame, for images that nobody has labelled."""

    def targets(self, request: Request, view: View, frame: Frame | None = None) -> Ragged:
        """`size` (width and height of the picture) and `to_picture` (`View.to_picture_B4`) of each sample."""
        return Ragged(tuple(_placed(view, frame)))


@dataclass(frozen=True, slots=True)
class BoxTargets:
    """The annotated boxes of each image.

    Attributes:
        objects: Those of every id of the source.
    """

    objects: ObjectTable

    def targets(self, request: Request, view: View, frame: Frame | None = None) -> Ragged:
        """Boxes that the views show, in pixels of the frame, with their labels; of evaluation views the picture's own.

        What is not trained on is left out, as are boxes of which a view shows less than a tenth, or less than a pixel
        either way.

        Returns:
            Of each sample `boxes`, float32 (K, 4), and `labels`, int64 (K). Of evaluation views also `own_boxes`,
            float64, in pixels of the picture, `own_labels`, `own_crowd`, `own_ignored` (what is difficult and does not
            count), `own_area`, and the keys of `PictureSizes`.
        """
        ids = request.ids_B.tolist()
        own = [self._own(id) for id in ids]
        trained = [torch.from_numpy(self.objects.trained_A[self.objects.image(id)]) for id in ids]
        boxes_BK4 = [each["own_boxes"][trained_K] for each, trained_K in zip(own, trained, strict=True)]
        shown = view.of_boxes(boxes_BK4, _MIN_VISIBLE, frame)
        places = _placed(view, frame) if request.strength == 0 else [{} for _ in own]
        return Ragged(
            tuple(
                {
                    **_large(boxes.box_K4, each["own_labels"][trained_K][boxes.kept_K], request.strength > 0),
                    **(each if place else {}),
                    **place,
                }
                for boxes, each, trained_K, place in zip(shown, own, trained, places, strict=True)
            )
        )

    def _own(self, id: int) -> dict[str, Tensor]:
        of, at = self.objects, self.objects.image(id)
        columns = {
            "own_boxes": of.box_A4,
            "own_labels": of.class_A,
            "own_crowd": of.crowd_A,
            "own_ignored": of.ignored_A,
            "own_area": of.area_A,
        }
        return {name: torch.from_numpy(column[at].copy()) for name, column in columns.items()}


@dataclass(slots=True)
class MaskTargets:
    """The mask of each image, read when it is first asked for, and kept as long as there is room.

    Attributes:
        read: Gives the mask of an id: class ids uint8 (H, W) of the picture's size, 255 where void.
    """

    read: Callable[[int], npt.NDArray[np.uint8]]
    _kept: dict[int, Tensor] = field(default_factory=dict)
    _kept_bytes: int = 0

    def targets(self, request: Request, view: View, frame: Frame | None = None) -> Values:
        """Masks as the views show them, uint8; padding is void.

        Returns:
            (B, H, W). Of evaluation views of each sample `mask` (H, W), `own`, the picture's own mask, and the keys of
            `PictureSizes`.
        """
        own = [self._mask(id) for id in request.ids_B.tolist()]
        masks_BHW = view.of_masks(own, VOID)
        if frame is not None:
            top, left = (view.side_px - frame.height_px) // 2, (view.side_px - frame.width_px) // 2
            masks_BHW = masks_BHW[:, top : top + frame.height_px, left : left + frame.width_px].contiguous()
        if request.strength > 0:
            return masks_BHW
        placed = zip(masks_BHW, own, _placed(view, frame), strict=True)
        return Ragged(tuple({"mask": mask_HW, "own": each, **place} for mask_HW, each, place in placed))

    def _mask(self, id: int) -> Tensor:
        found = self._kept.get(id)
        if found is None:
            found = torch.from_numpy(np.ascontiguousarray(self.read(id)))
            if self._kept_bytes + found.nbytes <= _KEPT_BYTES:
                self._kept[id] = found
                self._kept_bytes += found.nbytes
        return found


def _placed(view: View, frame: Frame | None) -> list[dict[str, Tensor]]:
    sizes = view.crop_B6[:, :2].round().long()
    return [
        {"size": size, "to_picture": to_picture}
        for size, to_picture in zip(sizes, view.to_picture_B4(frame), strict=True)
    ]


def _large(box_K4: Tensor, label_K: Tensor, is_training: bool) -> dict[str, Tensor]:
    box_K4 = box_K4.float()
    if is_training:
        kept_K = ((box_K4[:, 2:] - box_K4[:, :2]) >= _SMALLEST_PX).all(1)
        box_K4, label_K = box_K4[kept_K], label_K[kept_K]
    return {"boxes": box_K4, "labels": label_K}
