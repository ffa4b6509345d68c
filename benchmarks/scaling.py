"""Throughput on several devices: images a second, efficiency and memory of every rank, by number of ranks and method.

    python benchmarks/scaling.py [--ranks 1 2 4 8] [--methods every_step ...] [--rounds 3] [--beside-twin]

Trains the same recipe through `fewer train --devices N`: on CUDA with a GPU a rank, else with a thread a rank, as many
ranks as there are devices. The batch grows with the ranks, as `--batch` images each, so that every rank has the same
work. Efficiency is the images a second of N ranks over N times those of one rank; rounds are interleaved, and the
median counts. `--beside-twin` measures one rank beside another of its own, rather than alone on a machine whose cores
share caches and power: what two ranks could reach at best. One line a setting in results/scaling.jsonl.

Any recipe of your own: `--recipe photos.toml`; keys behind `--` are added: `-- model.name=resnet50 train.epochs=2`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import Results, parsed, parser, summary

from fewer.core.ledger import TRAINING

SMALL = """
data = { source = "digits", test = "10%", val = "none" }
augment = { flip = "no" }
model = { name = "cnn", width = WIDTH }
train = { epochs = EPOCHS, lr = 0.05, precision = "fp32" }
stages = [{ epochs = EPOCHS, side_px = 32 }]
out = { plots = false, previews = false, checkpoint_every = "EPOCHSep" }
"""


def devices() -> tuple[str, int]:
    """What ranks train on, and how many of these there are."""
    import torch

    if torch.cuda.is_available():
        return "cuda", torch.cuda.device_count()
    return "cpu", len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def started(recipe: Path, out: Path, ranks: int, keys: Sequence[str]) -> subprocess.Popen[str]:
    """A training of a recipe on so many ranks."""
    command = [sys.executable, "-m", "fewer", "train", str(recipe), *keys, "--out", str(out), "--json"]
    command += ["--devices", str(ranks)] if ranks > 1 else []
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def ledger(process: subprocess.Popen[str], out: Path) -> dict[str, Any]:
    """The ledger of a training that was started; stops the script where it has failed."""
    _, complaint = process.communicate()
    if process.returncode:
        raise SystemExit(f"fewer train ended with exit code {process.returncode}:\n{complaint[-2000:]}")
    found: dict[str, Any] = json.loads((out / "result.json").read_text(encoding="utf-8"))["ledger"]
    return found


def rate(spent: dict[str, Any]) -> float:
    """Images a second of all ranks together, over the seconds that batches took."""
    return float(spent["samples_backpropagated"] / sum(spent["seconds"][phase] for phase in TRAINING))


class Measured:
    """What one setting has shown in its rounds."""

    def __init__(self) -> None:
        self.images_per_s: list[float] = []
        self.sync_share: list[float] = []
        self.ranks: list[dict[str, Any]] = []
        self.bytes_sent = 0

    def add(self, spent: dict[str, Any]) -> None:
        """Takes a run's ledger."""
        self.images_per_s.append(rate(spent))
        self.sync_share.append(spent["seconds"]["sync"] / sum(spent["seconds"][phase] for phase in TRAINING))
        self.ranks = spent.get("ranks") or [spent]
        self.bytes_sent = spent["bytes_sent"] // (spent["optimizer_steps"] * len(self.ranks))

    def memory_mib(self, key: str) -> list[int]:
        """The most memory of each rank."""
        return [round(rank.get(key, 0) / 2**20) for rank in self.ranks]


def measure(args: argparse.Namespace, recipe: Path, folder: Path) -> dict[tuple[str, int], Measured]:
    """All settings, in rounds that take turns; a rank alone is measured once for all methods."""
    settings = [("alone", 1), *(("twins", 1) for _ in range(args.beside_twin))]
    settings += [(method, ranks) for method in args.methods for ranks in args.ranks if ranks > 1]
    found = {setting: Measured() for setting in settings}
    for turn in range(args.rounds):
        for method, ranks in settings:
            keys = [*args.keys, f"train.batch_size={args.batch * ranks}"]
            keys += [f"sync.method={method}"] if ranks > 1 else []
            copies = 2 if method == "twins" else 1
            outs = [folder / f"{method}-{ranks}-{turn}-{copy}" for copy in range(copies)]
            for process, out in [(started(recipe, out, ranks, keys), out) for out in outs]:
                found[method, ranks].add(ledger(process, out))
    return found


def main() -> None:
    command = parser(__doc__)
    kind, count = devices()
    command.add_argument("--ranks", type=int, nargs="+", default=[n for n in (1, 2, 4, 8) if n <= count])
    command.add_argument("--methods", nargs="+", default=["every_step"], help="sync methods by name")
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--batch", type=int, default=64, help="images of a rank in a step")
    command.add_argument("--epochs", type=int, default=6)
    command.add_argument("--width", type=float, default=0.5, help="of the small net, where no recipe is given")
    command.add_argument("--recipe", type=Path, help="a recipe of your own")
    command.add_argument("--beside-twin", action="store_true", help="also two single ranks side by side")
    command.add_argument("keys", nargs="*", help="key=value texts for the recipe, behind --")
    args = parsed(command, "--rounds=1", "--epochs=1", "--width=0.1", "--batch=32")
    if too_many := [ranks for ranks in args.ranks if ranks > count]:
        raise SystemExit(f"--ranks {too_many[0]}: this machine has {count} {kind} device(s); give at most {count}")
    results = Results("scaling", args.smoke)
    with tempfile.TemporaryDirectory(prefix="fewer-scaling-") as place:
        recipe = args.recipe
        if recipe is None:
            recipe = Path(place) / "small.toml"
            text = SMALL.replace("EPOCHS", str(args.epochs)).replace("WIDTH", str(args.width))
            recipe.write_text(text, encoding="utf-8")
        found = measure(args, recipe, Path(place))
    base = "twins" if args.beside_twin else "alone"
    single = summary(found[base, 1].images_per_s)["median"]
    for (method, ranks), measured in found.items():
        rates = summary(measured.images_per_s)
        efficiency = rates["median"] / (ranks * single)
        host, device = measured.memory_mib("peak_memory_bytes"), measured.memory_mib("peak_device_memory_bytes")
        print(
            f"{method:12} {ranks} rank(s): {rates['median']:8.1f} images/s, efficiency {efficiency:.2f}, "
            f"host memory {host} MiB, {measured.bytes_sent / 1e6:.2f} MB a step"
            + (f", device memory {device} MiB" if kind == "cuda" else "")
        )
        results.keep(
            method=method,
            ranks=ranks,
            device=kind,
            recipe=str(args.recipe.name if args.recipe else "small"),
            keys=args.keys,
            batch_of_a_rank=args.batch,
            images_per_s=rates,
            beside=base,
            efficiency=round(efficiency, 3),
            sync_share=summary(measured.sync_share),
            host_memory_mib=host,
            device_memory_mib=device,
            bytes_sent_a_step=measured.bytes_sent,
        )


if __name__ == "__main__":
    main()
