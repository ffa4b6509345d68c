"""Detectors put together: small ones from a trunk, and torchvision's own taken over."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn
from torchvision.models import detection
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.fcos import FCOSClassificationHead, FCOSHead, FCOSRegressionHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops import MultiScaleRoIAlign

from fewer.models.nets.detection.anchors import Anchors, DefaultBoxes
from fewer.models.nets.detection.detector import Detector
from fewer.models.nets.detection.faster_rcnn import FasterRCNN
from fewer.models.nets.detection.fcos import FCOS
from fewer.models.nets.detection.retinanet import RetinaNet
from fewer.models.nets.detection.ssd import SSD
from fewer.models.nets.detection.trunks import SSD_STRIDES, SsdTrunk, pyramid

_STRIDES = (8, 16, 32, 64, 128)
_PER_STRIDE = 3  # side of the smallest anchors, in strides
_OCTAVE = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))  # RetinaNet's anchors of a level, in sizes of the smallest
_RATIOS = (0.5, 1.0, 2.0)
_SSD_SCALES = (0.08, 0.18, 0.35, 0.55, 0.75, 0.95)  # shares of the frame: small objects belong to stride 8
_BOX_CHANNELS = 512  # of Faster R-CNN's two layers behind the regions
# Anchors, proposals and regions of Faster R-CNN: pictures of some hundred pixels hold fewer objects than COCO's.
_FEW = {
    "rpn_pre_nms_top_n_train": 1000,
    "rpn_pre_nms_top_n_test": 500,
    "rpn_post_nms_top_n_train": 500,
    "rpn_post_nms_top_n_test": 300,
    "box_batch_size_per_image": 128,
}


def fcos(trunk: str, classes: int, channels: int, convs: int) -> FCOS:
    """FCOS on a small trunk."""
    backbone = pyramid(trunk, channels, len(_STRIDES))
    head = FCOSHead(channels, 1, classes, num_convs=convs)
    head.classification_head = FCOSClassificationHead(channels, 1, classes, convs, norm_layer=_group_norm)
    head.regression_head = FCOSRegressionHead(channels, 1, convs, norm_layer=_group_norm)
    return FCOS(backbone, head, Anchors([(stride,) for stride in _STRIDES], (1.0,)), classes)


def retinanet(trunk: str, classes: int, channels: int, convs: int, anchor_px: Sequence[float] | None) -> RetinaNet:
    """RetinaNet on a small trunk, with GroupNorm in its head and a generalised IoU loss, as torchvision's `_v2`."""
    backbone = pyramid(trunk, channels, len(_STRIDES))
    smallest = anchor_px or [stride * _PER_STRIDE for stride in _STRIDES]
    anchors = Anchors([[side * step for step in _OCTAVE] for side in smallest], _RATIOS)
    head = RetinaNetHead(channels, len(_OCTAVE) * len(_RATIOS), classes, norm_layer=_group_norm)
    for branch in (head.classification_head, head.regression_head):
        branch.conv = branch.conv[:convs]
    head.regression_head._loss_type = "giou"
    return RetinaNet(backbone, head, anchors, classes)


def faster_rcnn(trunk: str, classes: int, channels: int, anchor_px: Sequence[float] | None) -> FasterRCNN:
    """Faster R-CNN on a small trunk."""
    backbone = pyramid(trunk, channels, len(_STRIDES) - 1)
    anchors = Anchors([(side,) for side in anchor_px or [stride * _PER_STRIDE for stride in _STRIDES[:4]]], _RATIOS)
    pool = MultiScaleRoIAlign(["0", "1", "2"], output_size=7, sampling_ratio=2)
    head = TwoMLPHead(channels * 7 * 7, _BOX_CHANNELS)
    predictor = detection.faster_rcnn.FastRCNNPredictor(_BOX_CHANNELS, classes + 1)
    return FasterRCNN(backbone, anchors, classes, box_roi_pool=pool, box_head=head, box_predictor=predictor, **_FEW)


def ssdlite(trunk: str, classes: int) -> SSD:
    """SSDlite (Sandler et al. 2018, arXiv 1801.04381, section 6.2) on a small trunk."""
    backbone, boxes = SsdTrunk(trunk), DefaultBoxes([(2, 3)] * SSD_STRIDES, _SSD_SCALES)
    norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    head = SSDLiteHead(backbone.out_channels, boxes.num_anchors_per_location(), classes + 1, norm)
    return SSD(backbone, head, boxes, classes, candidates=300, nms_iou=0.55)


def _group_norm(channels: int) -> nn.GroupNorm:
    """32 groups (Wu and He 2018), fewer where a group would have less than 4 channels: alone at a place they are 0."""
    return nn.GroupNorm(min(32, channels // 4), channels)


def taken_over(theirs: Any, classes: int) -> Detector:
    """One of torchvision's detectors with the losses of each image; its layers are the same objects.

    Raises:
        ValueError: It is of another architecture.
    """
    if isinstance(theirs, detection.FCOS):
        return FCOS(theirs.backbone, theirs.head, _anchors(theirs.anchor_generator), classes)
    if isinstance(theirs, detection.RetinaNet):
        return RetinaNet(theirs.backbone, theirs.head, _anchors(theirs.anchor_generator), classes)
    if isinstance(theirs, detection.ssd.SSD):
        made = theirs.anchor_generator
        boxes = DefaultBoxes(made.aspect_ratios, made.scales)
        return SSD(theirs.backbone, theirs.head, boxes, classes, theirs.topk_candidates, theirs.nms_thresh)
    if isinstance(theirs, detection.FasterRCNN):
        rpn, heads = theirs.rpn, theirs.roi_heads
        return FasterRCNN(
            theirs.backbone,
            _anchors(rpn.anchor_generator),
            classes,
            rpn_head=rpn.head,
            rpn_pre_nms_top_n_train=rpn._pre_nms_top_n["training"],
            rpn_pre_nms_top_n_test=rpn._pre_nms_top_n["testing"],
            rpn_post_nms_top_n_train=rpn._post_nms_top_n["training"],
            rpn_post_nms_top_n_test=rpn._post_nms_top_n["testing"],
            rpn_score_thresh=rpn.score_thresh,
            box_roi_pool=heads.box_roi_pool,
            box_head=heads.box_head,
            box_predictor=heads.box_predictor,
        )
    raise ValueError(f"is no detector of a known architecture: {type(theirs).__name__}")


def _anchors(theirs: Any) -> Anchors:
    return Anchors(theirs.sizes, theirs.aspect_ratios[0])
