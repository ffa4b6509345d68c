"""The frame of every detector: a dense part, which can be compiled, and what follows it.

B: images. N: places (anchors). C: classes. F: places that stand for an object, of all images. K: boxes of an image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torchvision.ops import batched_nms, clip_boxes_to_image

from fewer.core.detection import BOX_PART, CLASS_PART, Detected, Detections, Limits

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.models.nets.detection.anchors import Size

Targets = Sequence[Mapping[str, "Tensor"]]
"""Of each image `boxes` (K, 4) and `labels` (K) from 0; where regions are drawn, `draw`: an int64 number of its own."""


class Detector(nn.Module):
    """What all detectors share. A subclass gives `classes`, `dense` and `finish`.

    Attributes:
        classes: Number of classes, C.
        backbone: The trunk and what makes features of several levels of it.
    """

    classes: int
    backbone: Any
    anchor_generator: Any
    nms_thresh: Any

    def dense(self, image_BCHW: Tensor) -> Any:
        """All that is the same whatever the targets: tensors in nested sequences and dicts."""
        raise NotImplementedError

    def finish(self, dense: Any, image_BCHW: Tensor, targets: Targets | None = None) -> Detected:
        """Losses, where targets are given, and boxes from what `dense` has given for the same images."""
        raise NotImplementedError

    def forward(self, image_BCHW: Tensor, targets: Targets | None = None) -> Detected:
        """One forward.

        Args:
            image_BCHW: Normalised images of one size.
            targets: Boxes and labels of each image; without them there are no losses.
        """
        return self.finish(self.dense(image_BCHW), image_BCHW, targets)

    def own_limits(self, limits: Limits) -> Limits:
        """Limits with the architecture's own value for non-maximum suppression where they have none."""
        return replace(limits, nms_iou=self.nms_thresh) if limits.nms_iou is None else limits

    @property
    def head_layers(self) -> tuple[str, ...]:
        """Names of the layers behind the trunk, which weights of a classifier do not fill; in the order of definition.

        Their first values are part of the architecture (a prior on how rare objects are): nobody may clear them.
        """
        trunk = "backbone.body." if hasattr(self.backbone, "body") else "backbone."
        return tuple(
            name
            for name, module in self.named_modules()
            if not name.startswith(trunk) and any(True for _ in module.parameters(recurse=False))
        )


def size_of(image_BCHW: Tensor) -> Size:
    """Height and width of images in pixels."""
    return image_BCHW.shape[-2], image_BCHW.shape[-1]


def widened(*tensors: Tensor) -> list[Tensor]:
    """Tensors in float32, or as they are in float64: boxes need more than half precision."""
    return [each if each.dtype == torch.float64 else each.float() for each in tensors]


def stand_in(classes: int, class_part: Tensor, box_part: Tensor) -> Detected:
    """An output on the meta device, where nothing can be matched: its losses depend on all that real ones may."""
    ones_B = torch.ones(len(class_part), device=class_part.device)
    parts = {CLASS_PART: class_part.flatten(1).sum(1), BOX_PART: box_part.flatten(1).sum(1)}
    return Detected(classes, lambda limits: [], parts, ones_B.long(), ones_B)


# --- Losses by image -----------------------------------------------------------------------------------------------


def assigned(targets: Targets, match_BN: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """The label (B, N) and the box (B, N, 4) of the object that each place stands for; of no meaning for others.

    Args:
        targets: The objects.
        match_BN: Index of an object, negative for none.
        like: A tensor of the boxes' dtype.
    """
    labels, boxes = [], []
    for target, match_N in zip(targets, match_BN, strict=True):
        index_N = match_N.clamp(min=0)
        if len(target["labels"]):
            labels.append(target["labels"][index_N])
            boxes.append(target["boxes"].to(like)[index_N])
        else:
            labels.append(index_N)
            boxes.append(like.new_zeros(len(index_N), 4))
    return torch.stack(labels), torch.stack(boxes)


def by_image(value_F: Tensor, image_F: Tensor, images: int) -> Tensor:
    """Sums over the places of each image."""
    return value_F.new_zeros(images).index_add(0, image_F, value_F)


@torch.no_grad()
def sureness(p_F: Tensor, image_F: Tensor, highest_B: Tensor) -> Tensor:
    """`Detected.sure_B`.

    Args:
        p_F: Probability of the true class of each place that stands for an object.
        image_F: Their images.
        highest_B: The highest probability of any class in each image.
    """
    p_F, highest_B = p_F.detach(), highest_B.detach()
    count_B = by_image(torch.ones_like(p_F), image_F, len(highest_B))
    mean_B = by_image(p_F, image_F, len(highest_B)) / count_B.clamp(min=1)
    return torch.where(count_B > 0, mean_B, 1 - highest_B)


# --- Boxes ---------------------------------------------------------------------------------------------------------


def found_by_level(
    score_BNC: Tensor,
    sizes: Sequence[int],
    decode: Callable[[int, Tensor], Tensor],
    frame: Size,
    limits: Limits,
    most: int,
) -> list[Detections]:
    """The boxes of each image: the best candidates of each level, after non-maximum suppression.

    Args:
        score_BNC: The score of each class at each place.
        sizes: Places of each level.
        decode: From an image's number and some of its places to their boxes (K, 4).
        frame: Height and width in pixels.
        limits: With a value for `nms_iou`.
        most: Candidates of a level, at most.
    """
    found = []
    for image, score_NC in enumerate(score_BNC):
        parts, first = [], 0
        for score_MC in score_NC.split(list(sizes)):
            place_K, label_K, score_K = _best_of(score_MC, limits.score, most)
            parts.append((place_K + first, label_K, score_K))
            first += len(score_MC)
        place_K, label_K, score_K = (torch.cat(each) for each in zip(*parts, strict=True))
        found.append(suppressed(decode(image, place_K), label_K, score_K, frame, limits))
    return found


def _best_of(score_NC: Tensor, above: float, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Places, classes and scores of the best candidates above a score, the best first."""
    score_M = score_NC.flatten()
    index_M = (score_M > above).nonzero()[:, 0]
    score_K, order_K = score_M[index_M].topk(min(most, len(index_M)))
    index_K = index_M[order_K]
    return index_K // score_NC.shape[1], index_K % score_NC.shape[1], score_K


def suppressed(box_K4: Tensor, label_K: Tensor, score_K: Tensor, frame: Size, limits: Limits) -> Detections:
    """Candidates cut to the frame, after non-maximum suppression within each class; `limits` has `nms_iou`."""
    assert limits.nms_iou is not None
    box_K4 = clip_boxes_to_image(box_K4, frame)
    kept_K = batched_nms(box_K4, score_K, label_K, limits.nms_iou)[: limits.most]
    return Detections(box_K4[kept_K], label_K[kept_K], score_K[kept_K])
