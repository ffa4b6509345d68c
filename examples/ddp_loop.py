"""The loop of own_loop.py on several processes, with a checkpoint that includes the selection's state.

    torchrun --nproc-per-node 2 examples/ddp_loop.py checkpoint.pt
    torchrun --nproc-per-node 2 examples/ddp_loop.py checkpoint.pt      # resumes, on any number of processes
    python examples/ddp_loop.py --smoke                                 # alone, for one epoch

Every process builds the same chooser, which makes the same choice in each and gives each its part. The lines marked
`# fewer` differ from other loops with DistributedDataParallel: the chooser's sampler replaces a DistributedSampler, and
the processes gather their observations before one of them saves.
"""

from __future__ import annotations

import argparse
import os
import runpy
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from fewer import Chooser  # fewer
from fewer.select.own_loop import Indexed  # fewer

PLAIN = runpy.run_path(str(Path(__file__).parent / "own_loop.py"), run_name="own_loop")


def train(checkpoint: Path, epochs: int, until: int) -> tuple[float, list[int]]:
    """Trains from wherever the checkpoint stands; returns the test accuracy and this process's samples an epoch."""
    data, test = PLAIN["load"]()
    torch.manual_seed(0)
    model = DistributedDataParallel(PLAIN["convnet"]())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    chooser = Chooser("dbpd", data.tensors[1], epochs=epochs, threshold=0.9)  # fewer
    loader = DataLoader(Indexed(data), batch_size=32 // dist.get_world_size(), sampler=chooser.sampler)  # fewer
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.module.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        chooser.load_state_dict(state["chooser"])  # fewer
        first = state["epoch"] + 1
    samples = []
    for epoch in range(first, until):
        loader.sampler.set_epoch(epoch)  # fewer: as ever; it is chooser.begin(epoch)
        samples.append(len(loader.sampler))
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * (1 - epoch / epochs) * chooser.lr_scale  # fewer: the factor, for methods that have one
        for images, labels, ids in loader:
            logits = model(images)
            loss_B = cross_entropy(logits, labels, reduction="none")
            optimizer.zero_grad()
            (chooser.weights(ids) * loss_B).mean().backward()  # fewer: the weights
            optimizer.step()
            chooser.observe(ids, loss_B, logits)  # fewer
        chooser.gather()  # fewer: on every process, before one of them saves
        if dist.get_rank() == 0:
            state = {"model": model.module.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
            torch.save({**state, "chooser": chooser.state_dict()}, checkpoint)  # fewer: its state
    dist.barrier()
    images, labels = test.tensors
    with torch.no_grad():
        right = model.module(images).argmax(1) == labels
    return float(right.float().mean()), samples


def main(checkpoint: Path, epochs: int = 10, until: int | None = None) -> tuple[float, list[int]]:
    """Joins the processes that torchrun has started, or trains alone; rank 0 prints."""
    started = not dist.is_initialized()
    if started:
        os.environ.setdefault("MASTER_ADDR", "localhost")
        os.environ.setdefault("MASTER_PORT", "29511")
        alone = {} if "RANK" in os.environ else {"rank": 0, "world_size": 1}
        dist.init_process_group("gloo", **alone)
    accuracy, samples = train(checkpoint, epochs, epochs if until is None else until)
    if dist.get_rank() == 0:
        print(f"{dist.get_world_size()} processes   test accuracy {accuracy:.2%}   samples of rank 0: {samples}")
    if started:
        dist.destroy_process_group()
    return accuracy, samples


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, nargs="?", default=Path("ddp_loop.pt"))
    parser.add_argument("--smoke", action="store_true", help="one epoch, to see that it runs; leaves no checkpoint")
    args = parser.parse_args()
    if args.smoke:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder) / "ddp_loop.pt", epochs=1)
    else:
        main(args.checkpoint)
