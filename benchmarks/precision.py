"""Steps of training in bfloat16 and in float32 on a processor, and the nets for which "auto" should not be bfloat16.

    python benchmarks/precision.py [--rounds 3] [--side 96]

One thread; the formats in turn, by the process's own time, so that other work beside it counts little. A line for each
net in results/precision.jsonl: the ratio of their speeds, and its share of depthwise convolutions.
"""

from __future__ import annotations

import time

import torch
from common import Results, parsed, parser, summary

from fewer import tasks
from fewer.core.sections import section_of
from fewer.models import ModelParams, build, dry_run

NETS = (
    "lenet5", "resnet18", "resnext50_32x4d", "regnet_y_400mf", "convnext_tiny", "shufflenet_v2_x1_0", "mobilenet_v2",
    "mobilenet_v3_small", "efficientnet_b0", "mnasnet1_0", "swin_t",
)  # fmt: skip
CLASSES, BATCH = 30, 32


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--side", type=int, default=96)
    command.add_argument("--nets", default=",".join(NETS))
    args = parsed(command, "--rounds", "1", "--side", "32", "--nets", "lenet5,mobilenet_v2")
    torch.set_num_threads(1)
    results = Results("precision", args.smoke)
    for name in args.nets.split(","):
        side_px = 32 if name == "lenet5" else args.side
        network = build(name, CLASSES, side_px).train().to(memory_format=torch.channels_last)
        rounds = [{bf16: seconds(network, side_px, bf16) for bf16 in (True, False)} for _ in range(args.rounds)]
        task = tasks.module("classify").plain(tuple(map(str, range(CLASSES))))
        meta = dry_run.take(section_of(ModelParams, name=name), CLASSES, [side_px], task)
        share = dry_run.depthwise_share(meta, side_px, task)
        faster = summary([each[False] / each[True] for each in rounds])
        results.keep(net=name, side_px=side_px, depthwise_share=round(share, 3), bf16_over_fp32=faster)
        print(f"{name:20} bfloat16 {faster['median']:.2f} times as fast as float32, depthwise {share:.0%}")


def seconds(network: torch.nn.Module, side_px: int, bf16: bool) -> float:
    """The processor's seconds for a few steps."""
    images = torch.randn(BATCH, 3, side_px, side_px).to(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (BATCH,))
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    began = time.process_time()
    for _ in range(3):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = torch.nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
    return time.process_time() - began


if __name__ == "__main__":
    main()
