"""FCOS (Tian et al. 2019, arXiv 1904.01355) with the loss of each image.

Letters as in `fewer.models.nets.detection.detector`; a place is a cell of a level's features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import torch
from torch.nn import functional as F
from torchvision.models.detection import fcos
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from fewer.core.detection import BOX_PART, CLASS_PART, Detected, Detections, Limits
from fewer.models.nets.detection.detector import (
    Detector,
    Targets,
    assigned,
    by_image,
    found_by_level,
    size_of,
    stand_in,
    sureness,
    widened,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.models.nets.detection.anchors import Anchors


@final
class FCOS(Detector, fcos.FCOS):  # type: ignore[misc]
    """Focal loss over all places; 1 - generalised IoU and centre-ness over those inside objects.

    An image's count is the number of its places inside objects, at least 1, as all of the paper's equation 2 is divided
    by their number. torchvision has 1 as the least of a whole batch: the same unless an image has no objects.

    Args:
        backbone: Gives features of each level by name, and says their channels as `out_channels`.
        head: Torchvision's head, for `classes` classes.
        anchors: One square a place, as large as the level's stride.
        classes: Number of classes, C.
    """

    head: Any
    box_coder: Any
    center_sampling_radius: Any
    topk_candidates: Any

    def __init__(self, backbone: nn.Module, head: nn.Module, anchors: Anchors, classes: int) -> None:
        fcos.FCOS.__init__(self, backbone, classes, anchor_generator=anchors, head=head)
        self.classes = classes

    def dense(self, image_BCHW: Tensor) -> Any:
        features = list(self.backbone(image_BCHW).values())
        heads = self.head(features)
        grids = [tuple(each.shape[-2:]) for each in features]
        return heads["cls_logits"], heads["bbox_regression"], heads["bbox_ctrness"], grids

    def finish(self, dense: Any, image_BCHW: Tensor, targets: Targets | None = None) -> Detected:
        logits_BNC, code_BN4, centre_BN1, grids = dense
        if image_BCHW.is_meta:
            return stand_in(self.classes, logits_BNC, torch.cat([code_BN4, centre_BN1], 2))
        logits_BNC, code_BN4, centre_BN1 = widened(logits_BNC, code_BN4, centre_BN1)
        centre_BN = centre_BN1[..., 0]
        frame = size_of(image_BCHW)
        anchor_N4 = self.anchor_generator.boxes(frame, grids, like=logits_BNC)
        sizes = [height * width for height, width in grids]

        @torch.no_grad()
        def find(limits: Limits) -> list[Detections]:
            def decode(image: int, place_K: Tensor) -> Tensor:
                box_K4: Tensor = self.box_coder.decode(code_BN4[image, place_K], anchor_N4[place_K])
                return box_K4

            score_BNC, most = (logits_BNC.sigmoid() * centre_BN.sigmoid()[..., None]).sqrt(), self.topk_candidates
            return found_by_level(score_BNC, sizes, decode, frame, self.own_limits(limits), most)

        if targets is None:
            return Detected(self.classes, find)
        match_BN = self._matched(targets, anchor_N4, sizes)
        label_BN, box_BN4 = assigned(targets, match_BN, like=anchor_N4)
        image_F, place_F = (match_BN >= 0).nonzero(as_tuple=True)
        label_F, images = label_BN[image_F, place_F], len(logits_BNC)
        true_BNC = torch.zeros_like(logits_BNC)
        true_BNC[image_F, place_F, label_F] = 1
        focal_B = sigmoid_focal_loss(logits_BNC, true_BNC, reduction="none").sum((1, 2))
        box_F4, anchor_F4 = box_BN4[image_F, place_F], anchor_N4[place_F]
        overlap_F = generalized_box_iou_loss(self.box_coder.decode(code_BN4[image_F, place_F], anchor_F4), box_F4)
        true_F = _centreness(self.box_coder.encode(anchor_F4, box_F4))
        centre_F = F.binary_cross_entropy_with_logits(centre_BN[image_F, place_F], true_F, reduction="none")
        return Detected(
            self.classes,
            find,
            {CLASS_PART: focal_B, BOX_PART: by_image(overlap_F + centre_F, image_F, images)},
            (match_BN >= 0).sum(1).clamp(min=1),
            sureness(logits_BNC[image_F, place_F, label_F].sigmoid(), image_F, logits_BNC.sigmoid().amax((1, 2))),
        )

    @torch.no_grad()
    def _matched(self, targets: Targets, anchor_N4: Tensor, sizes: Sequence[int]) -> Tensor:
        """The object that each place stands for (B, N), -1 for none: of several the smallest (section 3.2).

        A place is in the middle part of its object ("center sampling"), and its level is the one for the distance to
        the farthest edge: four to eight times the stride, less on the first level, more on the last.
        """
        middle_N2, stride_N = (anchor_N4[:, :2] + anchor_N4[:, 2:]) / 2, anchor_N4[:, 2] - anchor_N4[:, 0]
        low_N, high_N = stride_N * 4, stride_N * 8
        low_N[: sizes[0]], high_N[-sizes[-1] :] = 0, torch.inf
        found = []
        for target in targets:
            box_K4 = target["boxes"].to(anchor_N4)
            if not len(box_K4):
                found.append(torch.full((len(anchor_N4),), -1, device=anchor_N4.device))
                continue
            centre_K2 = (box_K4[:, :2] + box_K4[:, 2:]) / 2
            off_NK = (middle_N2[:, None] - centre_K2).abs().amax(2)
            edge_NK4 = torch.cat([middle_N2[:, None] - box_K4[:, :2], box_K4[:, 2:] - middle_N2[:, None]], 2)
            far_NK = edge_NK4.amax(2)
            fits_NK = (off_NK < self.center_sampling_radius * stride_N[:, None]) & (edge_NK4.amin(2) > 0)
            fits_NK &= (far_NK > low_N[:, None]) & (far_NK < high_N[:, None])
            area_K = (box_K4[:, 2:] - box_K4[:, :2]).prod(1)
            area_N, match_N = torch.where(fits_NK, area_K, torch.inf).min(1)
            found.append(match_N.masked_fill(area_N == torch.inf, -1))
        return torch.stack(found)


def _centreness(edge_F4: Tensor) -> Tensor:
    """Equation 3: 1 in the middle of an object, 0 at its edges, from the distances to left, top, right, bottom."""
    across_F2, down_F2 = edge_F4[:, [0, 2]], edge_F4[:, [1, 3]]
    return ((across_F2.amin(1) / across_F2.amax(1)) * (down_F2.amin(1) / down_F2.amax(1))).sqrt()
