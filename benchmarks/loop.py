"""Speed of `fewer.fit` against a hand-written loop, and against another checkout of `fewer`.

    python benchmarks/loop.py [--rounds 9] [--against ../older/src]

All train the same model on the same 32 px images, with the same precision and augmentation, each in a process of its
own. They take turns of a few seconds; a ratio is the median over the rounds. `--against` names the folder that holds
another checkout's package. One line a model in results/loop.jsonl.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from common import ROOT, Results, machine, parsed, parser, photos, summary

SOURCES = ROOT / "src"
PADDING_PX, CLASSES = 4, 10
WARM_UP = 3  # steps before the first turn
# What `fewer.machine.memory` sets for the command line; an older checkout may keep it elsewhere.
MEMORY = {
    "THP_MEM_ALLOC_ENABLE": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--rounds", type=int, default=9)
    command.add_argument("--turn-seconds", type=float, default=5.0)
    command.add_argument("--against", type=Path, metavar="PATH", help="another checkout's source folder")
    command.add_argument("--models", nargs="+", default=["lenet5", "cnn"], metavar="MODEL")
    command.add_argument("--images", type=int, default=12_800)
    command.add_argument("--batch", type=int, default=128)
    command.add_argument("--precision", choices=("fp32", "bf16"), default=native_precision())
    command.add_argument("--side", choices=("hand", "fewer"), help="used by the script itself: trains one side")
    command.add_argument("--folder", type=Path, help="used by the script itself: the images")
    tiny = ("--rounds=1", "--turn-seconds=0", "--images=20", "--batch=4", f"--against={SOURCES}", "--models", "lenet5")
    args = parsed(command, *tiny)
    if args.side:
        SIDES[args.side](args)
        return
    results = Results("loop", args.smoke)
    with photos(CLASSES, args.images // CLASSES, side_px=32) as folder:
        for model in args.models:
            measured = compare(model, folder, args)
            show(model, measured, args)
            results.keep(model=model, precision=args.precision, batch=args.batch, **measured)


def native_precision() -> str:
    """What `precision = "auto"` is here."""
    return "bf16" if machine()["vectors"] == "avx512_bf16" else "fp32"


# --- The parent's side: whose turn it is -------------------------------------------------------------------------


def compare(model: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Images/s of every loop, and ratios of these by round."""
    sides = {"hand": ("hand", SOURCES), "ours": ("fewer", SOURCES)}
    if args.against:
        sides["theirs"] = ("fewer", args.against)
    with ExitStack() as stack:
        loops = {name: stack.enter_context(trainer(*side, model, folder, args)) for name, side in sides.items()}
        count = max(3, round(args.turn_seconds / (seconds(loops["hand"], 5) / 5)))
        turns: dict[str, list[float]] = {name: [] for name in loops}
        for number in range(args.rounds):
            for name in list(loops)[:: 1 if number % 2 else -1]:
                turns[name].append(seconds(loops[name], count))
    pairs = [("ours", "hand")] + ([("theirs", "hand"), ("ours", "theirs")] if args.against else [])
    return {
        "ratio": {f"{a}/{b}": summary([y / x for x, y in zip(turns[a], turns[b], strict=True)]) for a, b in pairs},
        "images_per_second": {
            name: summary([count * args.batch / spent for spent in values]) for name, values in turns.items()
        },
        "steps_a_turn": count,
    }


@contextmanager
def trainer(
    side: str, sources: Path, model: str, folder: Path, args: argparse.Namespace
) -> Iterator[subprocess.Popen[str]]:
    """A process that trains one side with the package in `sources`, past its warm-up."""
    child = (Path(__file__).resolve(), "--side", side, "--models", model, "--folder", folder)
    setting = ("--batch", args.batch, "--precision", args.precision)
    with tempfile.TemporaryDirectory() as work:
        process = subprocess.Popen(
            [sys.executable, *map(str, (*child, *setting))],
            cwd=work,
            env={**os.environ, **MEMORY, "PYTHONPATH": str(sources.resolve())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            answer(process)
            yield process
        finally:
            process.kill()
            process.communicate()


def seconds(process: subprocess.Popen[str], count: int) -> float:
    """Has a process train `count` steps."""
    assert process.stdin is not None
    process.stdin.write(f"{count}\n")
    process.stdin.flush()
    return answer(process)


def answer(process: subprocess.Popen[str]) -> float:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        sys.exit("a training process has ended; what it said stands above")
    return float(line)


def show(model: str, measured: dict[str, Any], args: argparse.Namespace) -> None:
    print(f"{model}, {args.precision}, batch {args.batch}, {args.rounds} rounds of {measured['steps_a_turn']} steps")
    for name, speed in measured["images_per_second"].items():
        print(f"  {name:12} {speed['median']:9,.0f} images/s ({speed['lowest']:,.0f} to {speed['highest']:,.0f})")
    for name, ratio in measured["ratio"].items():
        print(f"  {name:12} {ratio['median']:9.3f} ({ratio['lowest']:.3f} to {ratio['highest']:.3f})", flush=True)


# --- The children's side -----------------------------------------------------------------------------------------


class Turns:
    """Counts steps; when a turn is over, prints its seconds and reads the number of steps of the next.

    It is also a display for `fewer.fit`, which calls `row` after every step.
    """

    def __init__(self) -> None:
        self.left, self.began = WARM_UP, time.perf_counter()

    def step(self) -> None:
        self.left -= 1
        if not self.left:
            print(time.perf_counter() - self.began, flush=True)
            self.left, self.began = int(sys.stdin.readline()), time.perf_counter()

    def row(self, row: Any, session: Any) -> None:
        self.step()

    def ignore(self, *_: Any) -> None:
        return

    decoding = note = begin = phase = epoch = ignore


def by_fewer(args: argparse.Namespace) -> None:
    """Trains by the public functions alone, which older checkouts have, too."""
    import fewer

    recipe = {
        "data": {"source": f"folder:{args.folder}", "test": "none", "val": "none", "cache": "no"},
        "augment": {"crop_padding_px": PADDING_PX, "padding": "reflect", "flip": "random"},
        "model": {"name": args.models[0]},
        "train": {
            "epochs": 10_000,
            "batch_size": args.batch,
            "precision": args.precision,
            "lr": 0.01,
            "schedule": "constant",
            "warmup": "0%",
        },
        "out": {"plots": False, "previews": False, "checkpoint_every": "10000ep"},
    }
    fewer.fit(fewer.parse_recipe(recipe), "run", display=Turns())


def by_hand(args: argparse.Namespace) -> None:
    """Trains by a loop that knows this model and these images alone."""
    import numpy as np
    import torch
    from PIL import Image
    from torch.nn import functional as F

    from fewer import models

    files = sorted(args.folder.glob("*/*"))
    classes = sorted({file.parent.name for file in files})
    image_NHWC = torch.from_numpy(np.stack([np.asarray(Image.open(file)) for file in files]))
    label_N = torch.tensor([classes.index(file.parent.name) for file in files])
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in ((0.5,) * 3, (0.29,) * 3))
    model = models.build(args.models[0], len(classes), 32).to(memory_format=torch.channels_last).train()
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True)
    window, turns = torch.arange(32), Turns()
    while True:
        for rows in torch.randperm(len(label_N)).split(args.batch):
            images = image_NHWC[rows].permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)
            padded = F.pad(images, (PADDING_PX,) * 4, mode="reflect")
            y, x = (torch.randint(0, 2 * PADDING_PX + 1, (len(rows), 1)) + window for _ in range(2))
            batch = torch.arange(len(rows))[:, None, None]
            images = padded[batch, :, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)
            images = torch.where(torch.rand(len(rows), 1, 1, 1) < 0.5, images.flip(-1), images)
            images = images.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.precision == "bf16"):
                loss = F.cross_entropy(model(images).float(), label_N[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            loss.item()
            turns.step()


SIDES = {"hand": by_hand, "fewer": by_fewer}

if __name__ == "__main__":
    main()
