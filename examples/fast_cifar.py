"""CIFAR-10 with as little arithmetic as we know how, made of parts of recipes alone: 94.0 % for 0.23 PFLOP (six seeds).

    python examples/fast_cifar.py --seeds 0,1,2 --data data/cifar10
    python examples/fast_cifar.py                             # downloads CIFAR-10 once
    python examples/fast_cifar.py --smoke                     # digits, in seconds

The net is airbench94's (Jordan 2024). What makes it fast is written into the recipe (`fewer recipes cifar-fast`), each
line with its reason. What was measured of them (jitter, image sides, views), and what was not, stands in docs/log.md
("a ladder to 94 %", "six seeds of the speed run"). Run folders are OUT/seedN: one that was interrupted goes on, one
that is done is only read.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import fewer

# Beside the ready recipe: all 50,000 images are learnt from, as settings were chosen on held-out ones.
SPEED_RUN = {
    "data.val": "none",
    "task.tta": "flip_and_shift",  # six views of a test image, but only where the first leaves doubt
    "task.tta_below": 0.7,
    "evaluate.every": 0,
    "out.keep": 1,
    "out.checkpoint_every": "10min",
    "out.plots": False,
    "out.previews": False,
}
SMOKE = ("data.source=digits", "data.test=auto", "data.subset=300", "model.width=0.1", "train.batch_size=30")


def main(seeds: Sequence[int], out: Path, overrides: Sequence[str] = ()) -> list[float]:
    """Trains a run for each seed below `out`, prints what it reached and cost, and returns the accuracies."""
    found = []
    for seed in seeds:
        folder = out / f"seed{seed}"
        result = trained(recipe_of(*overrides, f"train.seed={seed}"), folder)
        images = sum(map(sum, result["tables"]["test/confusion"]))
        cost = costs(result, folder, result["tables"]["test/forwards_per_image"], images)
        found.append(result["metrics"]["test/top1"])
        print(f"seed {seed}: {found[-1]:.2%} for {cost['pflop']:.4f} PFLOP, in {cost['seconds']:,.0f} s")
        print("  {training:.4f} training, {newton_schulz:.4f} of it Muon's, {tta:.4f} test images".format(**cost))
    return found


def recipe_of(*overrides: str) -> fewer.Recipe:
    """The recipe of the speed run, with some keys changed."""
    keys = [f"{key}={json.dumps(value)}" for key, value in SPEED_RUN.items()]
    return fewer.parse_recipe(fewer.ready_recipe("cifar-fast"), [*keys, *overrides])


def trained(recipe: fewer.Recipe, folder: Path) -> dict[str, Any]:
    """The result of a run, which is trained, gone on with, or only read."""
    if (folder / "result.json").exists():
        return dict(json.loads((folder / "result.json").read_text()))
    has_begun = (folder / "recipe.resolved.toml").exists()
    return dict(fewer.resume(folder) if has_begun else fewer.fit(recipe, folder))


def costs(result: dict[str, Any], folder: Path, forwards: float, images: int) -> dict[str, float]:
    """PFLOP: of all, of training, of Muon's arithmetic in it, and of `images` with so many forwards; and seconds."""
    net = fewer.load_model(folder).model
    side, like = json.loads((folder / "plan.json").read_text())["evaluation_side_px"], next(net.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as forward:
        net(torch.zeros(1, 3, side, side, dtype=like.dtype, device=like.device))
    step = 0  # of Muon, whose three iterations take A = x x^T and (b A + c A A) x of every filter
    for name, value in net.named_parameters():
        if name.startswith("block") and value.dim() == 4:
            few, many = sorted((len(value), value[0].numel()))
            step += 3 * (4 * few**2 * many + 2 * few**3)
    training, tta = result["ledger"]["flops"], images * forwards * forward.get_total_flops()
    found = {"pflop": training + tta, "training": training, "newton_schulz": result["steps"] * step, "tta": tta}
    seconds = result["ledger"]["seconds"]["total"]
    return {**{name: flops / 1e15 for name, flops in found.items()}, "seconds": seconds}


def data_in(folder: Path) -> list[str]:
    """Overrides that read CIFAR-10 from train.tar and test.tar, or train/ and test/, with a folder for each class."""
    form = "tar:{}.tar" if (folder / "train.tar").exists() else "folder:{}"
    return [f"data.{key}={form.format(folder / part)}" for key, part in (("source", "train"), ("test", "test"))]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0", help="comma-separated")
    parser.add_argument("--data", type=Path, help="folder with train.tar and test.tar, or train/ and test/")
    parser.add_argument("--out", type=Path, default=Path("runs/fast_cifar"))
    parser.add_argument("--smoke", action="store_true", help="a few digits, into a temporary folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fewer-fast-") as place:
        runs, keys = (Path(place), SMOKE) if args.smoke else (args.out, data_in(args.data) if args.data else ())
        accuracies = main(list(map(int, args.seeds.split(","))), runs, keys)
    print(f"mean of {len(accuracies)}: {statistics.mean(accuracies):.2%}")
