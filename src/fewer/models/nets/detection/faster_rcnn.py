"""Faster R-CNN (Ren et al. 2015, arXiv 1506.01497) with the loss of each image.

B: images. A: anchors of an image. R: regions, of all images together where it has no other dimension. C: classes.
Inside, class 0 is the background, as in torchvision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import torch
from torch.nn import functional as F
from torchvision.models.detection import faster_rcnn, rpn
from torchvision.ops import clip_boxes_to_image, remove_small_boxes

from fewer.core.detection import BOX_PART, CLASS_PART, Detected, Detections, Limits
from fewer.models.nets.detection.detector import Detector, Targets, size_of, stand_in, suppressed, widened
from fewer.models.nets.detection.regions import drawn

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.models.nets.detection.anchors import Anchors, Size

_BETA = 1 / 9  # of the smooth L1 losses


@final
class FasterRCNN(Detector, faster_rcnn.FasterRCNN):  # type: ignore[misc]
    """Losses of the anchors drawn (objectness, boxes) and of the regions drawn (classes, boxes), each a mean.

    torchvision takes the means over the regions of a whole batch: the same where equally many are drawn of each image.
    An image's loss is a mean already, so that its count is 1.

    Args:
        backbone: Gives features of each level by name, and says their channels as `out_channels`.
        anchors: For as many levels as there are.
        classes: Number of classes, C.
        options: As for torchvision's class: heads, and how many anchors, proposals and regions.
    """

    rpn: Any
    roi_heads: Any

    def __init__(self, backbone: nn.Module, anchors: Anchors, classes: int, **options: Any) -> None:
        if options.get("box_predictor") is None:
            options["num_classes"] = classes + 1
        faster_rcnn.FasterRCNN.__init__(self, backbone, rpn_anchor_generator=anchors, **options)
        self.classes = classes
        self.nms_thresh = self.roi_heads.nms_thresh

    def dense(self, image_BCHW: Tensor) -> Any:
        features = self.backbone(image_BCHW)
        return features, *self.rpn.head(list(features.values()))

    def finish(self, dense: Any, image_BCHW: Tensor, targets: Targets | None = None) -> Detected:
        features, objectness, codes = dense
        if image_BCHW.is_meta:
            return self._counted(features, objectness, codes)
        frame, images = size_of(image_BCHW), len(image_BCHW)
        levels = [each[0].numel() for each in objectness]
        score_M1, code_M4 = widened(*rpn.concat_box_prediction_layers(objectness, codes))
        grids = [tuple(each.shape[-2:]) for each in features.values()]
        anchor_A4 = self.rpn.anchor_generator.boxes(frame, grids, like=code_M4)
        score_BA, code_BA4 = score_M1.view(images, -1), code_M4.view(images, -1, 4)
        with torch.no_grad():
            all_M4 = self.rpn.box_coder.decode_single(code_M4.detach(), anchor_A4.repeat(images, 1))
            proposals, _ = self.rpn.filter_proposals(all_M4.view(images, -1, 4), score_BA, [frame] * images, levels)

        def find(limits: Limits) -> list[Detections]:
            with torch.no_grad():
                heads = self._regions(features, proposals, frame)
                return self._boxes(*heads, proposals, frame, self.own_limits(limits))

        if targets is None:
            return Detected(self.classes, find)
        anchor_class_B, anchor_box_B = self._anchor_losses(score_BA, code_BA4, anchor_A4, targets)
        chosen, labels, codes_R = self._chosen(proposals, targets)
        logits_RC, code_R4C = self._regions(features, [box_R4 for box_R4, _ in chosen], frame)
        class_B, box_B, sure_B = _region_losses(logits_RC, code_R4C, labels, codes_R)

        @torch.no_grad()
        def find_among_chosen(limits: Limits) -> list[Detections]:
            kept_R = torch.cat([is_proposal_R for _, is_proposal_R in chosen])
            boxes = [box_R4[is_proposal_R] for box_R4, is_proposal_R in chosen]
            return self._boxes(logits_RC[kept_R], code_R4C[kept_R], boxes, frame, self.own_limits(limits))

        return Detected(
            self.classes,
            # A second look at regions would move statistics of norms in train mode.
            find_among_chosen if self.training else find,
            {CLASS_PART: anchor_class_B + class_B, BOX_PART: anchor_box_B + box_B},
            torch.ones(images, dtype=torch.int64, device=class_B.device),
            sure_B,
        )

    # --- Anchors ----------------------------------------------------------------------------------------------

    def _anchor_losses(
        self, score_BA: Tensor, code_BA4: Tensor, anchor_A4: Tensor, targets: Targets
    ) -> tuple[Tensor, Tensor]:
        """The mean losses of the anchors that are drawn of each image: whether there is an object, and its box."""
        sampler, classes, boxes = self.rpn.fg_bg_sampler, [], []
        wide = [{"boxes": target["boxes"].to(anchor_A4)} for target in targets]
        labels, matched = self.rpn.assign_targets_to_anchors([anchor_A4] * len(wide), wide)
        for score_A, code_A4, label_A, box_A4, target in zip(score_BA, code_BA4, labels, matched, targets, strict=True):
            size, share = sampler.batch_size_per_image, sampler.positive_fraction
            objects, others = drawn(label_A, size, share, target.get("draw", 0), "anchors")
            both = torch.cat([objects, others])
            classes.append(F.binary_cross_entropy_with_logits(score_A[both], label_A[both].to(score_A)))
            true_P4 = self.rpn.box_coder.encode_single(box_A4[objects].to(anchor_A4), anchor_A4[objects])
            loss = F.smooth_l1_loss(code_A4[objects], true_P4, beta=_BETA, reduction="sum")
            boxes.append(loss / max(1, len(both)))
        return torch.stack(classes), torch.stack(boxes)

    # --- Regions ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _chosen(
        self, proposals: Sequence[Tensor], targets: Targets
    ) -> tuple[list[tuple[Tensor, Tensor]], list[Tensor], list[Tensor]]:
        """The regions that are drawn of each image's proposals and objects.

        Returns:
            Of each image the regions (R, 4) and which of them are proposals; their classes; the codes of their boxes.
        """
        heads, chosen, labels, codes = self.roi_heads, [], [], []
        sampler = heads.fg_bg_sampler
        for proposal_R4, target in zip(proposals, targets, strict=True):
            box_K4 = target["boxes"].to(proposal_R4)
            region_R4 = torch.cat([proposal_R4, box_K4])
            (match_R,), (label_R,) = heads.assign_targets_to_proposals([region_R4], [box_K4], [target["labels"] + 1])
            size, share = sampler.batch_size_per_image, sampler.positive_fraction
            index_R = torch.cat(drawn(label_R, size, share, target.get("draw", 0), "regions"))
            region_R4 = region_R4[index_R]
            true_R4 = box_K4[match_R[index_R]] if len(box_K4) else region_R4
            chosen.append((region_R4, index_R < len(proposal_R4)))
            labels.append(label_R[index_R])
            codes.append(heads.box_coder.encode_single(true_R4, region_R4))
        return chosen, labels, codes

    def _regions(self, features: dict[str, Tensor], boxes: Sequence[Tensor], frame: Size) -> tuple[Tensor, Tensor]:
        """Logits (R, C + 1) and codes (R, 4 (C + 1)) of regions of all images."""
        pool, dtype = self.roi_heads.box_roi_pool, next(iter(features.values())).dtype
        pool.scales = None  # it keeps those of the first frame that it has seen
        wide = {name: widened(each)[0] for name, each in features.items()}
        pooled = pool(wide, [each.to(next(iter(wide.values()))) for each in boxes], [frame] * len(boxes))
        logits_RC, code_R4C = self.roi_heads.box_predictor(self.roi_heads.box_head(pooled.to(dtype)))
        logits_RC, code_R4C = widened(logits_RC, code_R4C)
        return logits_RC, code_R4C

    def _boxes(
        self, logits_RC: Tensor, code_R4C: Tensor, regions: Sequence[Tensor], frame: Size, limits: Limits
    ) -> list[Detections]:
        sizes, found = [len(each) for each in regions], []
        decoded_RC4 = self.roi_heads.box_coder.decode(code_R4C, list(regions)).view(*logits_RC.shape, 4)
        for p_RC, box_RC4 in zip(logits_RC.softmax(1).split(sizes), decoded_RC4.split(sizes), strict=True):
            p_RC, box_RC4 = p_RC[:, 1:], clip_boxes_to_image(box_RC4[:, 1:], frame)
            row_K, label_K = (p_RC > limits.score).nonzero(as_tuple=True)
            box_K4, score_K = box_RC4[row_K, label_K], p_RC[row_K, label_K]
            kept_K = remove_small_boxes(box_K4, 1e-2)
            found.append(suppressed(box_K4[kept_K], label_K[kept_K], score_K[kept_K], frame, limits))
        return found

    def _counted(self, features: dict[str, Tensor], objectness: Sequence[Tensor], codes: Sequence[Tensor]) -> Detected:
        """The output on the meta device: as many regions of each image go through the head as training draws."""
        pool, images = self.roi_heads.box_roi_pool, len(objectness[0])
        levels = [features[name].mean((2, 3)) for name in pool.featmap_names if name in features]
        regions = images * self.roi_heads.fg_bg_sampler.batch_size_per_image
        pooled = (
            torch.stack(levels).sum(0).repeat(regions // images, 1)[..., None, None].expand(-1, -1, *pool.output_size)
        )
        logits_RC, code_R4C = self.roi_heads.box_predictor(self.roi_heads.box_head(pooled.contiguous()))
        by_image = [torch.cat([each.flatten(1) for each in levels], 1) for levels in (objectness, codes)]
        return stand_in(
            self.classes,
            torch.cat([by_image[0], logits_RC.view(images, -1)], 1),
            torch.cat([by_image[1], code_R4C.view(images, -1)], 1),
        )


def _region_losses(
    logits_RC: Tensor, code_R4C: Tensor, labels: Sequence[Tensor], codes: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """The mean losses of each image's regions, and how sure it is."""
    sizes = [len(each) for each in labels]
    code_RC4, classes, boxes, sure = code_R4C.view(*logits_RC.shape, 4), [], [], []
    for each_RC, each_RC4, label_R, true_R4 in zip(
        logits_RC.split(sizes), code_RC4.split(sizes), labels, codes, strict=True
    ):
        classes.append(F.cross_entropy(each_RC, label_R))
        objects = (label_R > 0).nonzero()[:, 0]
        label_P = label_R[objects]
        loss = F.smooth_l1_loss(each_RC4[objects, label_P], true_R4[objects], beta=_BETA, reduction="sum")
        boxes.append(loss / max(1, len(label_R)))
        p_RC = each_RC.detach().softmax(1)
        sure.append(p_RC[objects, label_P].mean() if len(objects) else 1 - p_RC[:, 1:].max())
    return torch.stack(classes), torch.stack(boxes), torch.stack(sure)
