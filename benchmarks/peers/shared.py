"""What the peers share: their command line, clock, lines, first weights, and the steps that all of them take alike.

A peer trains on the class folders DATA/train and evaluates on DATA/test after each of its epochs, as all of them do. It
prints a JSON line for every evaluation and ends once `--target` is reached or its schedule is over. What is not given
on the command line is the peer's own.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.utils.data import DataLoader

BEGAN = time.perf_counter()  # before torch is imported: those seconds are the user's, too
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels
HEAD = 2  # tensors of a classifier's last layer


def options(
    description: str | None, epochs: float, batch: int, workers: int, flags: Mapping[str, str] | None = None
) -> argparse.Namespace:
    """The command line of a peer whose own numbers and flags these are; no more loader processes than cores."""
    command = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("data", type=Path, help="a folder with the class folders train/ and test/")
    command.add_argument("--model", required=True, help="torchvision's name, timm:NAME or fewer:NAME")
    command.add_argument("--weights", type=Path, help="tensors in the order of the model's layers")
    command.add_argument("--side", type=int, default=224, help="of images, in px")
    command.add_argument("--crop-pct", type=float, default=0.875, help="share of a test image's side that is seen")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--target", type=float, default=2.0, help="accuracy at which to end")
    command.add_argument("--epochs", type=float, default=epochs)
    command.add_argument("--batch", type=int, default=batch)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    command.add_argument("--workers", type=int, default=min(workers, cores), help="loader processes")
    command.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    command.add_argument("--channels-last", action="store_true")
    for flag, meaning in (flags or {}).items():
        command.add_argument(flag, action="store_true", help=meaning)
    return command.parse_args()


class Evaluations:
    """Prints what is found after each epoch.

    Args:
        target: The accuracy at which training may end.
    """

    def __init__(self, target: float) -> None:
        self.target, self.samples = target, 0

    def tell(self, epoch: float, accuracy: float, samples: int) -> bool:
        """Prints a line and says whether the target is reached; `samples` were trained on since the last one."""
        self.samples += samples
        line = {"epoch": epoch, "seconds": time.perf_counter() - BEGAN, "accuracy": accuracy, "samples": self.samples}
        print(json.dumps(line), flush=True)
        return accuracy >= self.target


def loaders(given: argparse.Namespace, to_tensor: Sequence[Any]) -> tuple[DataLoader, DataLoader, int]:
    """Random crops and flips of DATA/train, middles of DATA/test, and how many classes there are.

    Args:
        given: The command line.
        to_tensor: What makes a tensor of shares from a picture.
    """
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    as_tensor = [*to_tensor, transforms.Normalize(MEAN, STD)]
    views = [transforms.RandomResizedCrop(given.side), transforms.RandomHorizontalFlip(), *as_tensor]
    whole = [transforms.Resize(round(given.side / given.crop_pct)), transforms.CenterCrop(given.side), *as_tensor]
    train_set = ImageFolder(given.data / "train", transforms.Compose(views))
    test_set = ImageFolder(given.data / "test", transforms.Compose(whole))
    train_loader = DataLoader(train_set, given.batch, shuffle=True, num_workers=given.workers)
    return train_loader, DataLoader(test_set, given.batch, num_workers=given.workers), len(train_set.classes)


def network(given: argparse.Namespace, classes: int) -> nn.Module:
    """The model with its first weights, in the memory format that was asked for."""
    import torch

    family, _, name = given.model.rpartition(":")
    if family == "timm":
        import timm

        net = timm.create_model(name, num_classes=classes)
    elif family == "fewer":
        from fewer import models

        net = models.build(name, classes, given.side)
    else:
        from torchvision.models import get_model

        net = get_model(name, num_classes=classes)
    if given.weights:
        begin_with(net, given.weights)
    return net.to(memory_format=torch.channels_last) if given.channels_last else net


def begin_with(net: nn.Module, file: Path) -> None:
    """Puts a file's tensors into all layers but the last, by their order; names may differ.

    Raises:
        SystemExit: A layer has another shape.
    """
    import torch

    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        found = load_file(file)
    else:
        found = torch.load(file, map_location="cpu", weights_only=True)
    mine = list(net.state_dict().items())[:-HEAD]
    pairs = list(zip(mine, found.values(), strict=False))
    if len(pairs) < len(mine) or any(own.shape != other.shape for (_, own), other in pairs):
        raise SystemExit(f"{file} holds other layers than {type(net).__name__}; give weights of the same network")
    net.load_state_dict({name: other for (name, _), other in pairs}, strict=False)


def forward_of(net: nn.Module, given: argparse.Namespace) -> Callable[[Tensor], Tensor]:
    """Maps images (B, 3, S, S) to logits (B, C) in the precision and memory format that were asked for."""
    import torch

    def forward(image_BCHW: Tensor) -> Tensor:
        if given.channels_last:
            image_BCHW = image_BCHW.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=given.precision == "bf16"):
            logits_BC: Tensor = net(image_BCHW)
        return logits_BC.float()

    return forward


def train(
    batches: Iterable[tuple[Tensor, Tensor]],
    forward: Callable[[Tensor], Tensor],
    loss_of: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
    after_step: Callable[[Tensor, Tensor], Any] = lambda logits_BC, label_B: None,
) -> int:
    """One epoch; returns how many samples it saw. `after_step` gets logits and labels of each batch."""
    samples = 0
    for image_BCHW, label_B in batches:
        logits_BC = forward(image_BCHW)
        loss = loss_of(logits_BC, label_B)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # each of them looks at it after every step
        after_step(logits_BC, label_B)
        samples += len(label_B)
    return samples


def share_right(net: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], forward: Callable[[Tensor], Tensor]) -> float:
    """Top-1 over all batches, as a share; leaves the net in evaluation mode."""
    import torch

    net.eval()
    right = images = 0
    with torch.inference_mode():
        for image_BCHW, label_B in batches:
            right += int((forward(image_BCHW).argmax(1) == label_B).sum())
            images += len(label_B)
    return right / images
