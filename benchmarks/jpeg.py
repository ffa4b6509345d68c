"""Speed of loading JPEGs: random-resized-crop to 128 px and flips, in normalised batches of 64.

    python benchmarks/jpeg.py [data/caltech/train] [--rounds 5] [--epochs 2]

Ours through two loader processes, from the files ("files") and from a store of uncompressed pictures ("store", built
beforehand at the side that `fewer data store` takes for these crops), and from memory ("memory", decoded beforehand),
against torchvision's ImageFolder, Pillow and a DataLoader with two workers. Whole epochs in turn; each process pool
lives through all of its epochs. Beside images a second of the clock stand images a second of the processors, over all
processes: on a machine that other work keeps busy, these compare best. Every process has one thread: more of them in
the process that makes batches wait busily for cores that the loaders have. One line each in results/jpeg.jsonl.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

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
from fewer.data.pictures.build import Order, build
from fewer.data.settings import InputSettings, ReadSettings, ViewSettings

SIDE_PX, BATCH, WORKERS = 128, 64, 2
STORE_PX = 176  # 128 / sqrt(0.54), the median share of a crop: as fewer.plan.stores.store_side_px has it
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


def ours(folder: str, loader: Loader | None, store: Path | None = None) -> Epoch:
    split = open_splits(f"folder:{folder}", test="none", val="none").train
    views = ViewSettings(Augment(flip="random"), RandomResizedCrop())
    data = ImageData(split, views, InputSettings(MEAN, STD), ReadSettings(threads=WORKERS, store=store), loader)
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
    torch.set_num_threads(1)
    with photos(classes=2, each=4, side_px=40, suffix=".jpg") if args.smoke else nullcontext(args.folder) as folder:
        speed = compared(str(folder), args.rounds, args.epochs)
    for name in ("files", "store", "memory"):
        line: dict[str, dict[str, float]] = {}
        for clock, of in (("", 0), ("_processor", 1)):
            mine, theirs = ([each[of] for each in speed[way]] for way in (name, "textbook"))
            ratios = [left / right for left, right in zip(mine, theirs, strict=True)]
            print(f"{name}{clock}: {statistics.median(ratios):.2f} x of {statistics.median(theirs):.0f}/s")
            line |= {f"ours{clock}": summary(mine), f"theirs{clock}": summary(theirs), f"ratio{clock}": summary(ratios)}
        results.keep(read_from=name, threads=torch.get_num_threads(), load=os.getloadavg()[0], **line)


def processor_seconds() -> float:
    """What this process and its children have computed so far."""
    own = time.process_time()
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            own += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own


def compared(folder: str, rounds: int, epochs: int) -> dict[str, list[tuple[float, float]]]:
    """Images of each way in every round, in a second of the clock and of the processors."""
    with tempfile.TemporaryDirectory() as place:
        source = open_splits(f"folder:{folder}", test="none", val="none").train.source
        store = build(Order(source, STORE_PX, Path(place, "photos.pictures"), "raw"))[0].path
        return _compared(folder, store, rounds, epochs)


def _compared(folder: str, store: Path, rounds: int, epochs: int) -> dict[str, list[tuple[float, float]]]:
    loaders = [Loader(WORKERS), Loader(WORKERS)]
    ways = {
        "files": ours(folder, loaders[0]),
        "store": ours(folder, loaders[1], store),
        "memory": ours(folder, None),
        "textbook": textbook(folder),
    }
    speed: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds + 1):  # the first round starts the processes and warms the disk's cache
        for name in list(ways)[:: 1 if number % 2 else -1]:
            began, computed = time.perf_counter(), processor_seconds()
            images = sum(ways[name](number * epochs + epoch) for epoch in range(epochs))
            if number:
                clock, processors = time.perf_counter() - began, processor_seconds() - computed
                speed[name].append((images / clock, images / processors))
    for loader in loaders:
        loader.close()
    return speed


if __name__ == "__main__":
    main()
