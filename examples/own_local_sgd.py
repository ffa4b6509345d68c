"""A plain PyTorch loop on several processes that exchange weights once in 16 steps, with five lines of fewer.

    torchrun --nproc-per-node 2 examples/own_local_sgd.py
    torchrun --nproc-per-node 4 examples/own_local_sgd.py --method diloco --every-steps 64 --payload int4
    python examples/own_local_sgd.py --smoke                            # alone, for one epoch

Model, optimizer, data and loop are PyTorch's own; the lines marked `# fewer` are added. Each process trains on images
that no other has. DistributedDataParallel would send a gradient of all weights at every step.
"""

from __future__ import annotations

import argparse
import os
import runpy
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Subset

from fewer.sync import LocalSGD  # fewer

PLAIN = runpy.run_path(str(Path(__file__).parent / "own_loop.py"), run_name="own_loop")


def train(rank: int, processes: int, epochs: int, batch_size: int = 32, **keys: str | int) -> tuple[float, int]:
    """Trains on one of the processes; returns test accuracy of the common weights, and the bytes that this one sent."""
    data, test = PLAIN["load"]()
    mine = Subset(data, range(rank, len(data) - len(data) % processes, processes))
    torch.manual_seed(0)
    noise = torch.Generator().manual_seed(rank)
    loader = DataLoader(mine, batch_size // processes, shuffle=True, drop_last=True, generator=noise)
    model = PLAIN["convnet"]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    sync = LocalSGD(model, optimizer, **keys)  # fewer
    for epoch in range(epochs):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * (1 - epoch / epochs)
        for images, labels in loader:
            optimizer.zero_grad()
            cross_entropy(model(images), labels).backward()
            optimizer.step()
            sync.step(samples=len(images))  # fewer
    sync.finish()  # fewer
    images, labels = test.tensors
    with torch.no_grad():
        right = model(images).argmax(1) == labels
    return float(right.float().mean()), sync.bytes_sent()  # fewer


def main(epochs: int, **keys: str | int) -> tuple[float, int]:
    """Joins the processes that torchrun has started, or trains alone; rank 0 prints."""
    started = "RANK" in os.environ and not dist.is_initialized()
    if started:
        dist.init_process_group("gloo")
    joined = dist.is_initialized()
    rank, processes = (dist.get_rank(), dist.get_world_size()) if joined else (0, 1)
    accuracy, sent = train(rank, processes, epochs, **keys)
    if rank == 0:
        print(f"{processes} processes   test accuracy {accuracy:.2%}   rank 0 sent {sent / 1e6:.2f} MB")
    if started:
        dist.destroy_process_group()
    return accuracy, sent


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="local_sgd", help="local_sgd, slowmo or diloco")
    parser.add_argument("--every-steps", type=int, default=16, help="local steps between two syncs")
    parser.add_argument("--payload", default="full", help="full, bf16, int8, int4 or topk")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--smoke", action="store_true", help="one epoch, to see that it runs")
    args = parser.parse_args()
    main(1 if args.smoke else args.epochs, method=args.method, every_steps=args.every_steps, payload=args.payload)
