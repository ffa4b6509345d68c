"""Probes: imports and trials that may crash, each in its own process, `python -m fewer.doctor.probes NAME`.

Answers are printed as soon as they are known, one JSON document a line: those before a crash still count.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def _say(**content: Any) -> None:
    print(json.dumps(content), flush=True)


def stack() -> None:
    """Imports torch and torchvision, and calls one of torchvision's own operators."""
    import torch

    from fewer.machine.device import device_kind
    from fewer.machine.precision import native_bf16

    _say(torch=torch.__version__, threads=torch.get_num_threads())
    device = device_kind()
    _say(
        device=device,
        bf16=native_bf16(device),
        capability=torch.backends.cpu.get_cpu_capability(),
        built_for_cuda=torch.version.cuda,
        gpus=[torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    )
    import torchvision

    _say(torchvision=torchvision.__version__)
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 6.0, 6.0]])
    _say(nms=torchvision.ops.nms(boxes, torch.tensor([0.5, 0.9, 0.7]), 0.5).tolist())


def gloo() -> None:
    """One of several processes that sum a tensor over the loopback interface."""
    _reduce("gloo", "cpu")


def nccl() -> None:  # untested: needs a GPU
    """As `gloo`, on the GPU of this rank."""
    import torch

    rank = int(os.environ["LOCAL_RANK"])
    torch.cuda.set_device(rank)
    _reduce("nccl", f"cuda:{rank}")


def ranks() -> None:
    """One of several processes that join as those of a training run do."""
    from fewer.doctor.ranks import measured
    from fewer.sync.joining import joined

    with joined() as comm:
        _say(**measured(comm))


def _reduce(backend: str, device: str) -> None:
    from datetime import timedelta

    import torch
    import torch.distributed as dist

    began = time.perf_counter()
    dist.init_process_group(backend, timeout=timedelta(seconds=30))
    try:
        value = torch.full((1024,), float(dist.get_rank() + 1), device=device)
        dist.all_reduce(value)
        _say(sum=float(value.mean()), seconds=time.perf_counter() - began)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    {"stack": stack, "gloo": gloo, "nccl": nccl, "ranks": ranks}[sys.argv[1]]()
