"""FLOPs of every torchvision classifier and of 58 timm nets: as plans count them, and from shapes alone.

    python benchmarks/flops.py [NAME ...]

Each net is built on the "meta" device at the side that it was made for, so nothing is computed and no weights are
needed. The two counts must agree within 1 %, and the backward must cost about twice the forward. One line for each net
in results/flops.jsonl.
"""

from __future__ import annotations

import sys

import torch
from common import Results, parsed, parser

from fewer import models
from fewer.core.types import At
from fewer.models import dry_run
from fewer.models.families import torchvision
from fewer.plan.flops import sample_flops
from fewer.tasks.classify.task import Classify
from fewer.testing.flops import FlopsFromShapes

SIDES_PX = {"inception_v3": 299}
SIDE_PX, CLASSES, TOLERANCE = 224, 1000, 0.01
TIMM = [
    "beit_base_patch16_224", "botnet26t_256", "cait_xxs24_224", "coat_tiny", "coatnet_0_224", "convit_tiny",
    "convmixer_768_32", "convnextv2_atto", "crossvit_9_240", "cspresnet50", "darknet53", "davit_tiny",
    "deit_tiny_patch16_224", "densenet121", "dla34", "dpn68", "edgenext_xx_small", "efficientformer_l1",
    "efficientnet_lite0", "efficientvit_b0", "eva02_tiny_patch14_224", "fastvit_t8", "focalnet_tiny_srf",
    "gcvit_xxtiny", "gernet_s", "ghostnet_100", "hardcorenas_a", "hgnet_tiny", "hrnet_w18_small",
    "inception_next_tiny", "legacy_seresnet18", "levit_128s", "maxvit_tiny_rw_224", "mixer_s16_224",
    "mobilenetv3_small_100", "mobilenetv4_conv_small", "mobilevit_xxs", "nf_resnet50", "nfnet_f0", "pit_ti_224",
    "poolformer_s12", "pvt_v2_b0", "regnety_002", "repvgg_a0", "res2net50_26w_4s", "resmlp_12_224", "resnest14d",
    "sequencer2d_s", "skresnet18", "swinv2_tiny_window8_256", "tiny_vit_5m_224", "tnt_s_patch16_224", "tresnet_m",
    "twins_pcpvt_small", "visformer_tiny", "vit_tiny_patch16_224", "volo_d1_224", "xcit_nano_12_p16_224",
]  # fmt: skip


def main() -> None:
    command = parser(__doc__)
    command.add_argument("names", nargs="*", help="model names as in model.name; all, if left out")
    args = parsed(command, "squeezenet1_1", "timm:resnet10t")
    results, worst = Results("flops", args.smoke), 0.0
    for name in args.names or [*torchvision.names(), *(f"timm:{each}" for each in TIMM)]:
        forward, backward, shapes = counted(name, side_px := side_of(name))
        difference = abs(sum(shapes) / (forward + backward) - 1)
        worst = max(worst, difference)
        ratio = backward / forward
        print(f"{name:36} {forward:.4g} FLOPs, backward {ratio:.2f} times as many, shapes differ by {difference:.2%}")
        results.keep(
            model=name, side_px=side_px, forward=forward, backward=backward, ratio=ratio, from_shapes=list(shapes)
        )
    if worst > TOLERANCE:
        sys.exit(f"the counts differ by {worst:.1%}")


def side_of(name: str) -> int:
    """The side that a net was made for."""
    if not name.startswith("timm:"):
        return SIDES_PX.get(name, SIDE_PX)
    import timm

    config = timm.get_pretrained_cfg(name.removeprefix("timm:"), allow_unregistered=True)
    return int(config.input_size[-1]) if config else SIDE_PX


def counted(name: str, side_px: int) -> tuple[int, int, tuple[int, int]]:
    """FLOPs of one sample's forward and backward as plans count them, and both from shapes."""
    task = Classify(CLASSES)
    model = dry_run.take(models.params(name)(name=name), CLASSES, [side_px], task)
    forward, backward = sample_flops(task, model, side_px)
    batch = task.dummy_batch(side_px, torch.device("meta"), torch.float32)
    with FlopsFromShapes() as shapes:
        task.outcome(model, batch, At(0, 1, 0.0)).loss_sum_B.sum().backward()
    return forward, backward, (shapes.forward // len(batch), shapes.backward // len(batch))


if __name__ == "__main__":
    main()
