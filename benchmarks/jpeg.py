"""Speed of loading JPEGs: random-resized-crop to 128 px and flips, in normalised batches of 64.

    python benchmarks/jpeg.py [data/caltech/train] [--rounds 5] [--epochs 2]

Ours through two loader processes ("no") and from memory ("yes", decoded beforehand) against torchvision's ImageFolder,
Pillow and a DataLoader with two workers. Whole epochs in turn; each process pool lives through all of its epochs. One
line each in results/jpeg.jsonl.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import torch
from common import ROOT, Results, parsed, parser, photos, summary
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from fewer.core import rng
from fewer.core.types import Request
from fewer.data.augment import Augment
from fewer.data.augment.random_resized_crop import RandomResizedCrop
from fewer.data.images import ImageData
from fewer.data.listing.splits import open_splits
from fewer.data.loader import Loader
from fewer.data.settings import InputSettings, ReadSettings, ViewSettings

SIDE_PX, BATCH, WORKERS = 128, 64, 2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Epoch = Callable[[int], int]


def textbook(folder: str) -> Epoch:
    """What tutorials do."""
    views = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIDE_PX),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    loader = DataLoader(ImageFolder(folder, views), BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True)
    return lambda _: sum(len(images) for images, _ in loader)


def ours(folder: str, loader: Loader | None) -> Epoch:
    split = open_splits(f"folder:{folder}", test="none", val="none").train
    views = ViewSettings(Augment(flip="random"), RandomResizedCrop())
    data = ImageData(split, views, InputSettings(MEAN, STD), ReadSettings(threads=WORKERS), loader)
    data.prepare(SIDE_PX)

    def requests(epoch: int) -> Iterator[Request]:
        shuffled = split.ids_M[rng.shuffled(split.ids_M, 0, "order", epoch)]
        return (Request(ids, epoch, SIDE_PX) for ids in shuffled.split(BATCH))

    return lambda epoch: sum(map(len, data.batches(requests(epoch))))


def main() -> None:
    command = parser(__doc__)
    command.add_argument("folder", nargs="?", default=ROOT / "data" / "caltech" / "train")
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--epochs", type=int, default=2)
    args = parsed(command, "--rounds=1", "--epochs=1")
    results = Results("jpeg", args.smoke)
    with photos(classes=2, each=4, side_px=40, suffix=".jpg") if args.smoke else nullcontext(args.folder) as folder:
        speed = compared(str(folder), args.rounds, args.epochs)
    for name in ("no", "yes"):
        ratios = [mine / theirs for mine, theirs in zip(speed[name], speed["textbook"], strict=True)]
        print(
            f'in_memory = "{name}": {statistics.median(ratios):.2f} x of {statistics.median(speed["textbook"]):.0f}/s'
        )
        line = {"ours": summary(speed[name]), "theirs": summary(speed["textbook"]), "ratio": summary(ratios)}
        results.keep(in_memory=name, threads=torch.get_num_threads(), **line)


def compared(folder: str, rounds: int, epochs: int) -> dict[str, list[float]]:
    """Images/s of each way in every round."""
    loader = Loader(WORKERS)
    ways = {"no": ours(folder, loader), "yes": ours(folder, None), "textbook": textbook(folder)}
    speed: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):  # the first round starts the processes and warms the disk's cache
        for name in list(ways)[:: 1 if number % 2 else -1]:
            began = time.perf_counter()
            images = sum(ways[name](number * epochs + epoch) for epoch in range(epochs))
            if number:
                speed[name].append(images / (time.perf_counter() - began))
    loader.close()
    return speed


if __name__ == "__main__":
    main()
