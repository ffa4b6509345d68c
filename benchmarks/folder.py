"""Seconds from process start to end on a folder of PNGs: `fewer train` against the textbook torchvision loop in fp32.

    python benchmarks/folder.py data/cifar10/train [--rounds 5] [--images 12800] [--epochs 3]

Both train on the same images with batches of 128, pad-crop and flip, and evaluate nothing.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import keep, summary

WORKERS = 2


def textbook(model: str, folder: str, epochs: int) -> None:
    """What tutorials do: ImageFolder, DataLoader with two workers, SGD."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    from fewer import models

    views = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        ]
    )
    loader = DataLoader(ImageFolder(folder, views), 128, shuffle=True, num_workers=WORKERS, persistent_workers=True)
    net = models.build(model, len(loader.dataset.classes), 32)
    optimizer = torch.optim.SGD(net.parameters(), 0.05, 0.9, weight_decay=5e-4, nesterov=True)
    for _ in range(epochs):
        for images, targets in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(images), targets).backward()
            optimizer.step()


def recipe(model: str, folder: str, epochs: int) -> str:
    return f"""
[data]
source = "folder:{folder}"
test = "none"
val = "none"
[augment]
crop_padding_px = 4
flip = "random"
[model]
name = "{model}"
[train]
epochs = {epochs}
batch_size = 128
lr = 0.05
"""


def subset(source: Path, target: Path, images: int) -> None:
    """Copies an even share of every class."""
    classes = sorted(path for path in source.iterdir() if path.is_dir())
    for number, folder in enumerate(classes):
        (target / folder.name).mkdir(parents=True)
        share = images // len(classes) + (number < images % len(classes))
        for file in sorted(folder.iterdir())[:share]:
            shutil.copy(file, target / folder.name / file.name)


def seconds(arguments: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def compare(model: str, folder: Path, epochs: int, rounds: int, work: Path) -> None:
    file = work / f"{model}.toml"
    file.write_text(recipe(model, str(folder), epochs))
    spent: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(rounds):
        commands = {
            "ours": ["-m", "fewer", "train", str(file), "--out", str(work / f"{model}-{number}")],
            "theirs": [__file__, str(folder), "--textbook", model, "--epochs", str(epochs)],
        }
        for name in list(commands)[:: 1 if number % 2 else -1]:
            spent[name].append(seconds(commands[name]))
    ratios = [theirs / ours for ours, theirs in zip(spent["ours"], spent["theirs"], strict=True)]
    line = {name: summary(values) for name, values in {**spent, "ratio": ratios}.items()}
    print(f"{model}: {statistics.median(ratios):.2f} x; ours {line['ours']['median']:.1f} s", flush=True)
    keep("folder", model=model, epochs=epochs, **line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=12_800)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--textbook", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.textbook:
        textbook(arguments.textbook, str(arguments.folder), arguments.epochs)
    else:
        with tempfile.TemporaryDirectory() as place:
            subset(arguments.folder, Path(place) / "images", arguments.images)
            for name in ("lenet5", "cnn"):
                compare(name, Path(place) / "images", arguments.epochs, arguments.rounds, Path(place))
