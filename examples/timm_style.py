"""A whole training script in the style of timm's train.py, with data selection.

    python examples/timm_style.py                                          # scikit-learn's digits, in seconds
    python examples/timm_style.py --data-dir PHOTOS --model resnet18 --img-size 128 --select kakurenbo
    python examples/timm_style.py --select infobatch --select-opt pruned=0.7 --output out
    python examples/timm_style.py --select infobatch --select-opt pruned=0.7 --output out --resume out/last.pt
    torchrun --nproc-per-node 2 examples/timm_style.py --select dbpd --select-cost 0.6
    python examples/timm_style.py --smoke                                  # one epoch, into a temporary folder

PHOTOS has train/CLASS/*.jpg and val/CLASS/*.jpg. Models are timm's if it is installed, else one small net. The lines
marked `# fewer` are added for selection; without `--select` this is plain training.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from fewer import Chooser  # fewer
from fewer.select.own_loop import Indexed  # fewer


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--data-dir", type=Path, help="folder with train/ and val/; left out: scikit-learn's digits")
    found.add_argument("--model", default="small", help='"small", or a name that timm knows')
    found.add_argument("--pretrained", action="store_true", help="start from timm's weights")
    found.add_argument("--img-size", type=int, default=32, metavar="PX")
    found.add_argument("--epochs", type=int, default=6)
    found.add_argument("-b", "--batch-size", type=int, default=64, help="on each process")
    found.add_argument("--lr", type=float, default=0.05)
    found.add_argument("--momentum", type=float, default=0.9)
    found.add_argument("--weight-decay", type=float, default=5e-4)
    found.add_argument("--smoothing", type=float, default=0.1)
    found.add_argument("--seed", type=int, default=42)
    found.add_argument("-j", "--workers", type=int, default=0, help="loader processes")
    found.add_argument("--amp", action="store_true", help="forward in bfloat16")
    found.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    found.add_argument("--output", type=Path, default=Path("output"))
    found.add_argument("--resume", type=Path, metavar="CHECKPOINT")
    found.add_argument("--smoke", action="store_true", help="one epoch at 16 px, to see that it runs")
    found.add_argument("--select", default="everything", metavar="METHOD", help="see `fewer methods`")  # fewer
    found.add_argument("--select-cost", type=float, metavar="SHARE", help="share of plain training's cost")  # fewer
    found.add_argument("--select-opt", action="append", default=[], metavar="KEY=VALUE", help="a method's key")  # fewer
    return found


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    args = parser().parse_args(argv)
    if args.smoke:
        args.epochs, args.img_size, args.output = 1, 16, Path(tempfile.mkdtemp(prefix="timm_style-"))
    device = init_distributed_device(args)
    torch.manual_seed(args.seed)
    train_set, val_set, labels, classes = create_datasets(args)
    model = create_model(args, classes).to(device)
    optimizer = torch.optim.SGD(
        model.parameters(), args.lr, args.momentum, weight_decay=args.weight_decay, nesterov=True
    )
    keys = dict(map(option, args.select_opt)) | ({"cost": args.select_cost} if args.select_cost else {})  # fewer
    chooser = Chooser(args.select, labels, epochs=args.epochs, seed=args.seed, **keys)  # fewer
    loader = DataLoader(
        Indexed(train_set),  # fewer: samples bring their position along
        batch_size=args.batch_size,
        sampler=chooser.sampler,  # fewer: in place of shuffle=True and of a DistributedSampler
        num_workers=args.workers,
        persistent_workers=args.workers > 0,
        pin_memory=device.type == "cuda",
    )
    val_loader = DataLoader(val_set, batch_size=2 * args.batch_size, num_workers=args.workers)
    first = resume_checkpoint(args, model, optimizer, chooser) if args.resume else 0
    wrapped = DistributedDataParallel(model) if dist.is_initialized() else model

    summary: dict[str, Any] = {}
    for epoch in range(first, args.epochs):
        score_wanted(model, train_set, chooser, epoch, args, device)  # fewer: none, for most methods
        chooser.begin(epoch)  # fewer
        lr = args.lr * 0.5 * (1 + math.cos(math.pi * epoch / args.epochs)) * chooser.lr_scale  # fewer: the factor
        for group in optimizer.param_groups:
            group["lr"] = lr
        summary = train_one_epoch(epoch, wrapped, loader, optimizer, chooser, args, device)
        summary |= validate(model, val_loader, args, device)
        chooser.gather()  # fewer: on every process, before one of them saves
        summary |= {"epoch": epoch, "lr": lr, **chooser.spent(), **chooser.counts()}  # fewer: cost and counts
        if is_primary():
            save_checkpoint(args, epoch, model, optimizer, chooser, summary)
    return summary


def train_one_epoch(
    epoch: int,
    model: nn.Module,
    loader: DataLoader[Any],
    optimizer: torch.optim.Optimizer,
    chooser: Chooser,
    args: argparse.Namespace,
    device: torch.device,
) -> dict[str, float]:
    model.train()
    began, losses = time.monotonic(), []
    for image_B, label_B, id_B in loader:
        image_B, label_B = image_B.to(device, non_blocking=True), label_B.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=args.amp):
            logits_BC = model(image_B)
            loss_B = cross_entropy(logits_BC, label_B, reduction="none", label_smoothing=args.smoothing)
        loss = (chooser.weights(id_B).to(device) * loss_B).mean()  # fewer: the weights
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        chooser.observe(id_B, loss_B, logits_BC)  # fewer
        losses.append(loss.detach())
    mean = float(torch.stack(losses).mean())
    if is_primary():
        print(f"Train: {epoch}  [{len(losses)} batches in {time.monotonic() - began:.1f} s]  Loss: {mean:.4f}")
    return {"train_loss": mean}


@torch.no_grad()
def validate(
    model: nn.Module, loader: DataLoader[Any], args: argparse.Namespace, device: torch.device
) -> dict[str, float]:
    model.eval()
    right, loss, count = 0.0, 0.0, 0
    for image_B, label_B in loader:
        image_B, label_B = image_B.to(device), label_B.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=args.amp):
            logits_BC = model(image_B)
        right += float((logits_BC.argmax(1) == label_B).sum())
        loss += float(cross_entropy(logits_BC.float(), label_B, reduction="sum"))
        count += len(label_B)
    if is_primary():
        print(f"Test:  Loss: {loss / count:.4f}  Acc@1: {100 * right / count:.2f}")
    return {"eval_loss": loss / count, "eval_top1": 100 * right / count}


@torch.no_grad()
def score_wanted(
    model: nn.Module,
    data: Dataset[Any],
    chooser: Chooser,
    epoch: int,
    args: argparse.Namespace,
    device: torch.device,
) -> None:
    """Looks again at what the method wants to know of before the epoch."""
    ids = chooser.ids_to_score(epoch)  # fewer
    wanted = Subset(Indexed(data), ids.tolist())  # fewer
    model.eval()
    for image_B, label_B, id_B in DataLoader(wanted, batch_size=2 * args.batch_size):
        logits_BC = model(image_B.to(device))
        loss_B = cross_entropy(logits_BC, label_B.to(device), reduction="none")
        chooser.observe(id_B, loss_B, logits_BC, kind="scored")  # fewer


def save_checkpoint(
    args: argparse.Namespace,
    epoch: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    chooser: Chooser,
    summary: dict[str, Any],
) -> None:
    args.output.mkdir(parents=True, exist_ok=True)
    state = {"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    state["chooser"] = chooser.state_dict()  # fewer
    torch.save(state, args.output / "last.part")
    (args.output / "last.part").replace(args.output / "last.pt")
    with (args.output / "summary.jsonl").open("a") as file:
        file.write(json.dumps(summary) + "\n")


def resume_checkpoint(
    args: argparse.Namespace, model: nn.Module, optimizer: torch.optim.Optimizer, chooser: Chooser
) -> int:
    state = torch.load(args.resume, weights_only=True, map_location="cpu")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    chooser.load_state_dict(state["chooser"])  # fewer
    return int(state["epoch"]) + 1


def create_model(args: argparse.Namespace, classes: int) -> nn.Module:
    if args.model != "small":
        if importlib.util.find_spec("timm") is None:
            raise SystemExit(f'--model {args.model}: timm is not installed; pip install timm, or use "small"')
        import timm

        return timm.create_model(args.model, pretrained=args.pretrained, num_classes=classes)
    widths = (3, 16, 32, 64)
    stages = [
        layer
        for width, wider in pairwise(widths)
        for layer in (
            *(nn.Conv2d(width, wider, 3, padding=1, bias=False), nn.BatchNorm2d(wider)),
            *(nn.ReLU(), nn.MaxPool2d(2)),
        )
    ]
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))


def create_datasets(args: argparse.Namespace) -> tuple[Dataset[Any], Dataset[Any], Tensor, int]:
    """Training and validation set, the class of every training sample, and the number of classes."""
    if args.data_dir:
        from torchvision import transforms
        from torchvision.datasets import ImageFolder

        sized = transforms.Compose(
            [transforms.Resize(args.img_size), transforms.CenterCrop(args.img_size), transforms.ToTensor()]
        )
        folders = [ImageFolder(str(args.data_dir / split), transform=sized) for split in ("train", "val")]
        return folders[0], folders[1], torch.tensor(folders[0].targets), len(folders[0].classes)
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    image_N = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    image_N = interpolate(image_N, args.img_size, mode="bilinear").expand(-1, 3, -1, -1)
    label_N = torch.tensor(digits)
    mixed = torch.randperm(len(label_N), generator=torch.Generator().manual_seed(0))
    val, train = mixed[:360], mixed[360:]
    return (
        TensorDataset(image_N[train], label_N[train]),
        TensorDataset(image_N[val], label_N[val]),
        label_N[train],
        10,
    )


def init_distributed_device(args: argparse.Namespace) -> torch.device:
    """Joins the processes that torchrun has started, if it has."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        if args.device == "cuda":  # untested: needs a GPU
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if args.device == "cuda" else "gloo")
    return torch.device(args.device)


def is_primary() -> bool:
    return not dist.is_initialized() or dist.get_rank() == 0


def option(text: str) -> tuple[str, Any]:
    """`threshold=0.3` as a key and a value; what is not JSON is text."""
    key, _, value = text.partition("=")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


if __name__ == "__main__":
    main()
    if dist.is_initialized():
        dist.destroy_process_group()
