"""SSD (Liu et al. 2016, arXiv 1512.02325) and SSDlite with the loss of each image.

Letters as in `fewer.models.nets.detection.detector`; inside, class 0 is the background, as in torchvision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import torch
from torch.nn import functional as F
from torchvision.models.detection import ssd
from torchvision.ops import box_iou

from fewer.core.detection import BOX_PART, CLASS_PART, Detected, Detections, Limits
from fewer.models.nets.detection.detector import (
    Detector,
    Targets,
    assigned,
    by_image,
    size_of,
    stand_in,
    suppressed,
    sureness,
    widened,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.models.nets.detection.anchors import DefaultBoxes

_FEWEST = 3  # hard places of an image without objects


@final
class SSD(Detector, ssd.SSD):  # type: ignore[misc]
    """Cross-entropy of the boxes of objects and of three times as many hard others, and a smooth L1 loss of the former.

    An image's count is the number of boxes that stand for objects, at least 1 (equation 1). torchvision has 1 as the
    least of a whole batch, and no loss at all for an image without objects; here its three hardest boxes count.

    Args:
        backbone: Gives features of each level by name.
        head: Torchvision's head, for `classes` classes and the background.
        boxes: For as many levels as there are.
        classes: Number of classes, C.
        candidates: Boxes of each class that non-maximum suppression looks at.
        nms_iou: Its overlap.
    """

    head: Any
    box_coder: Any
    proposal_matcher: Any
    topk_candidates: Any
    neg_to_pos_ratio: Any

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        boxes: DefaultBoxes,
        classes: int,
        candidates: int = 400,
        nms_iou: float = 0.45,
    ) -> None:
        size = (320, 320)  # of the inner resizing, which is not used
        ssd.SSD.__init__(
            self, backbone, boxes, size, classes + 1, head=head, nms_thresh=nms_iou, topk_candidates=candidates
        )
        self.classes = classes

    def dense(self, image_BCHW: Tensor) -> Any:
        features = list(self.backbone(image_BCHW).values())
        heads = self.head(features)
        return heads["cls_logits"], heads["bbox_regression"], [tuple(each.shape[-2:]) for each in features]

    def finish(self, dense: Any, image_BCHW: Tensor, targets: Targets | None = None) -> Detected:
        logits_BNC, code_BN4, grids = dense
        if image_BCHW.is_meta:
            return stand_in(self.classes, logits_BNC, code_BN4)
        logits_BNC, code_BN4 = widened(logits_BNC, code_BN4)
        frame = size_of(image_BCHW)
        anchor_N4 = self.anchor_generator.boxes(frame, grids, like=logits_BNC)

        @torch.no_grad()
        def find(limits: Limits) -> list[Detections]:
            limits, found = self.own_limits(limits), []
            for score_NC, code_N4 in zip(logits_BNC.softmax(2)[..., 1:], code_BN4, strict=True):
                # The best places of each class; a score of 0 stands for those that are not good enough.
                kept_NC = score_NC * (score_NC > limits.score)
                score_KC, place_KC = kept_NC.topk(min(self.topk_candidates, len(kept_NC)), dim=0)
                row_K, label_K = (score_KC > 0).nonzero(as_tuple=True)
                place_K, score_K = place_KC[row_K, label_K], score_KC[row_K, label_K]
                box_K4 = self.box_coder.decode_single(code_N4[place_K], anchor_N4[place_K])
                found.append(suppressed(box_K4, label_K, score_K, frame, limits))
            return found

        if targets is None:
            return Detected(self.classes, find)
        match_BN = self._matched(targets, anchor_N4)
        label_BN, box_BN4 = assigned(targets, match_BN, like=anchor_N4)
        is_object_BN = match_BN >= 0
        true_BN = torch.where(is_object_BN, label_BN + 1, 0)
        loss_BN = F.cross_entropy(logits_BNC.transpose(1, 2), true_BN, reduction="none")
        objects_B = is_object_BN.sum(1)
        wanted_B = torch.where(objects_B > 0, objects_B * self.neg_to_pos_ratio, _FEWEST)
        hardness_BN = loss_BN.detach().masked_fill(is_object_BN, -torch.inf)
        rank_BN = hardness_BN.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        counted_BN = is_object_BN | (rank_BN < wanted_B[:, None])
        image_F, place_F = is_object_BN.nonzero(as_tuple=True)
        true_F4 = self.box_coder.encode_single(box_BN4[image_F, place_F], anchor_N4[place_F])
        box_F = F.smooth_l1_loss(code_BN4[image_F, place_F], true_F4, reduction="none").sum(1)
        p_BNC = logits_BNC.detach().softmax(2)
        return Detected(
            self.classes,
            find,
            {CLASS_PART: (loss_BN * counted_BN).sum(1), BOX_PART: by_image(box_F, image_F, len(logits_BNC))},
            objects_B.clamp(min=1),
            sureness(p_BNC[image_F, place_F, true_BN[image_F, place_F]], image_F, p_BNC[..., 1:].amax((1, 2))),
        )

    @torch.no_grad()
    def _matched(self, targets: Targets, anchor_N4: Tensor) -> Tensor:
        """The object that each default box stands for (B, N), -1 for none; each object has one at least."""
        found = []
        for target in targets:
            if len(target["boxes"]):
                found.append(self.proposal_matcher(box_iou(target["boxes"].to(anchor_N4), anchor_N4)))
            else:
                found.append(torch.full((len(anchor_N4),), -1, device=anchor_N4.device))
        return torch.stack(found)
