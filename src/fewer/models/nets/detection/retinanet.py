"""RetinaNet (Lin et al. 2017, arXiv 1708.02002) with the loss of each image.

Letters as in `fewer.models.nets.detection.detector`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import torch
from torch.nn import functional as F
from torchvision.models.detection import retinanet
from torchvision.ops import box_iou, generalized_box_iou_loss, sigmoid_focal_loss

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

_BETWEEN = -2  # torchvision's mark of anchors that are neither object nor background


@final
class RetinaNet(Detector, retinanet.RetinaNet):  # type: ignore[misc]
    """Focal loss over all anchors, and a box loss over those of objects, both divided by the latter's number.

    An image's loss is a mean already (equation 5 of the paper, by image as in torchvision), so that its count is 1.

    Args:
        backbone: Gives features of each level by name, and says their channels as `out_channels`.
        head: Torchvision's head, for `classes` classes.
        anchors: For as many levels as there are.
        classes: Number of classes, C.
    """

    head: Any
    box_coder: Any
    proposal_matcher: Any
    topk_candidates: Any

    def __init__(self, backbone: nn.Module, head: nn.Module, anchors: Anchors, classes: int) -> None:
        retinanet.RetinaNet.__init__(self, backbone, classes, anchor_generator=anchors, head=head)
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
        per_place = self.anchor_generator.num_anchors_per_location()
        sizes = [height * width * each for (height, width), each in zip(grids, per_place, strict=True)]

        @torch.no_grad()
        def find(limits: Limits) -> list[Detections]:
            def decode(image: int, place_K: Tensor) -> Tensor:
                box_K4: Tensor = self.box_coder.decode_single(code_BN4[image, place_K], anchor_N4[place_K])
                return box_K4

            score_BNC, most = logits_BNC.sigmoid(), self.topk_candidates
            return found_by_level(score_BNC, sizes, decode, frame, self.own_limits(limits), most)

        if targets is None:
            return Detected(self.classes, find)
        match_BN = self._matched(targets, anchor_N4)
        label_BN, box_BN4 = assigned(targets, match_BN, like=anchor_N4)
        image_F, place_F = (match_BN >= 0).nonzero(as_tuple=True)
        label_F, images = label_BN[image_F, place_F], len(logits_BNC)
        objects_B = by_image(torch.ones_like(image_F, dtype=anchor_N4.dtype), image_F, images).clamp(min=1)
        true_BNC = torch.zeros_like(logits_BNC)
        true_BNC[image_F, place_F, label_F] = 1
        focal_BNC = sigmoid_focal_loss(logits_BNC, true_BNC, reduction="none")
        focal_B = (focal_BNC.sum(2) * (match_BN != _BETWEEN)).sum(1)
        box_F = self._box_losses(code_BN4[image_F, place_F], anchor_N4[place_F], box_BN4[image_F, place_F])
        return Detected(
            self.classes,
            find,
            {CLASS_PART: focal_B / objects_B, BOX_PART: by_image(box_F, image_F, images) / objects_B},
            torch.ones_like(objects_B, dtype=torch.int64),
            sureness(logits_BNC[image_F, place_F, label_F].sigmoid(), image_F, logits_BNC.sigmoid().amax((1, 2))),
        )

    @torch.no_grad()
    def _matched(self, targets: Targets, anchor_N4: Tensor) -> Tensor:
        """The object that each anchor stands for (B, N): -1 for background, -2 for neither."""
        found = []
        for target in targets:
            if len(target["boxes"]):
                found.append(self.proposal_matcher(box_iou(target["boxes"].to(anchor_N4), anchor_N4)))
            else:
                found.append(torch.full((len(anchor_N4),), -1, device=anchor_N4.device))
        return torch.stack(found)

    def _box_losses(self, code_F4: Tensor, anchor_F4: Tensor, box_F4: Tensor) -> Tensor:
        """L1 of the codes, or 1 - generalised IoU where the head says so (Rezatofighi et al. 2019)."""
        if self.head.regression_head._loss_type == "giou":
            loss_F: Tensor = generalized_box_iou_loss(self.box_coder.decode_single(code_F4, anchor_F4), box_F4)
            return loss_F
        true_F4 = self.box_coder.encode_single(box_F4, anchor_F4)
        return F.l1_loss(code_F4, true_F4, reduction="none").sum(1)
