"""Seconds from process start to end on a folder of PNGs: `fewer train` against the textbook torchvision loop in fp32.

    python benchmarks/folder.py [data/cifar10/train] [--rounds 5] [--images 12800] [--epochs 3]

Both train on the same images with batches of 128, pad-crop and flip, and evaluate nothing. One line a model in
results/folder.jsonl.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from common import ROOT, Results, parsed, parser, photos, ran, summary

WORKERS = 2


def textbook(model: str, folder: str, epochs: int, batch: int) -> None:
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
    loader = DataLoader(ImageFolder(folder, views), batch, shuffle=True, num_workers=WORKERS, persistent_workers=True)
    net = models.build(model, len(loader.dataset.classes), 32)
    optimizer = torch.optim.SGD(net.parameters(), 0.05, 0.9, weight_decay=5e-4, nesterov=True)
    for _ in range(epochs):
        for images, targets in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(images), targets).backward()
            optimizer.step()


def recipe(model: str, folder: Path, epochs: int, batch: int) -> str:
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
batch_size = {batch}
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


def seconds(*arguments: object) -> float:
    began = time.perf_counter()
    ran(*arguments)
    return time.perf_counter() - began


def compare(model: str, folder: Path, args: argparse.Namespace, work: Path) -> dict[str, dict[str, float]]:
    """Seconds of both, and their ratio, as medians over the rounds."""
    file = work / f"{model}.toml"
    file.write_text(recipe(model, folder, args.epochs, args.batch))
    spent: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(args.rounds):
        commands: dict[str, tuple[object, ...]] = {
            "ours": ("-m", "fewer", "train", file, "--out", work / f"{model}-{number}"),
            "theirs": (__file__, folder, "--textbook", model, "--epochs", args.epochs, "--batch", args.batch),
        }
        for name in list(commands)[:: 1 if number % 2 else -1]:
            spent[name].append(seconds(*commands[name]))
    ratios = [theirs / ours for ours, theirs in zip(spent["ours"], spent["theirs"], strict=True)]
    return {name: summary(values) for name, values in {**spent, "ratio": ratios}.items()}


def main() -> None:
    command = parser(__doc__)
    command.add_argument("folder", nargs="?", type=Path, default=ROOT / "data" / "cifar10" / "train")
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--images", type=int, default=12_800)
    command.add_argument("--epochs", type=int, default=3)
    command.add_argument("--batch", type=int, default=128)
    command.add_argument("--models", nargs="+", default=["lenet5", "cnn"], metavar="MODEL")
    command.add_argument("--textbook", metavar="MODEL", help="used by the script itself: runs the textbook loop")
    args = parsed(command, "--rounds=1", "--images=8", "--epochs=1", "--batch=4", "--models", "lenet5")
    if args.textbook:
        textbook(args.textbook, str(args.folder), args.epochs, args.batch)
        return
    results = Results("folder", args.smoke)
    made = photos(classes=2, each=4, side_px=32) if args.smoke else nullcontext(args.folder)
    with made as source, tempfile.TemporaryDirectory() as place:
        subset(source, Path(place) / "images", args.images)
        for model in args.models:
            line = compare(model, Path(place) / "images", args, Path(place))
            print(f"{model}: {line['ratio']['median']:.2f} x; ours {line['ours']['median']:.1f} s", flush=True)
            results.keep(model=model, epochs=args.epochs, **line)


if __name__ == "__main__":
    main()
