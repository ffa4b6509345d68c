"""Accuracy against batch size: SGD with Nesterov's momentum, AdamW, LARS, LAMB and Muon, each tuned alike.

    python benchmarks/large_batch.py [--seeds 0,1,2] [--jobs 2] [--only TEXT]

LeNet-5 of half the width on 20,000 images of CIFAR-10 (studies/lenet5-20k.toml), 20 epochs whatever the batch, so that
all see as many samples and large batches take few steps. Every cell tries the same number of learning rates, a factor
of three apart around the optimizer's usual ones, on a tenth of the training images that is held out (seed 100); the
best rate then trains on all of them, once a seed, and is tested. One line a finished run in results/large_batch.jsonl;
only missing runs are made. At the end a table: a row an optimizer, a column a batch size.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import cells
from cells import Cell
from common import ROOT, Results, parsed, parser

RECIPE, DIGITS = ROOT / "benchmarks" / "studies" / "lenet5-20k.toml", ROOT / "recipes" / "digits.toml"
BATCHES = (1024, 8192, 128)
TRIALS, TUNING_SEED = 6, 100
# The keys of each, and the lowest rate that is tried for batches of 128; it grows with the root of the batch.
OPTIMIZERS: dict[str, tuple[tuple[str, ...], float]] = {
    "SGD": (("train.optimizer=sgd", "train.nesterov=true"), 0.001),
    "AdamW": (("train.optimizer=adamw", "train.momentum=", "train.weight_decay=0.05"), 3e-5),
    "LARS": (("train.optimizer=lars", "train.bias_lr_scale=0.02"), 0.1),
    "LAMB": (("train.optimizer=lamb", "train.momentum=", "train.weight_decay=0.05"), 1e-4),
    "Muon": (("train.optimizer=muon", "train.momentum=0.95", "train.weight_decay=0.05"), 1e-4),
}

Line = Mapping[str, Any]


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--seeds", default="0,1,2", help="comma-separated")
    command.add_argument("--jobs", type=int, default=1, help="runs side by side")
    command.add_argument("--only", default="", help="cells whose name holds this text, such as `LARS, 8192`")
    args = parsed(command, "--seeds=0", "--only=LARS, 128")
    results, seeds = Results("large_batch", args.smoke), list(map(int, args.seeds.split(",")))
    recipe = DIGITS if args.smoke else RECIPE
    common = ("train.epochs=1", "model.width=0.1", "data.subset=512") if args.smoke else ("train.epochs=20",)
    wanted = [
        (name, batch) for batch in BATCHES for name in OPTIMIZERS if args.only in f"{name}, {batch}"
    ]  # the most telling batch first
    cells.make([trial for cell in wanted for trial in trials(*cell, recipe, common)], results, args.jobs)
    final = [
        Cell("test", f"{name}, {batch}", (*keys(name, batch), f"train.lr={lr:g}"), seed, recipe, common)
        for name, batch in wanted
        if (lr := best_lr(results.lines, name, batch))
        for seed in seeds
    ]
    cells.make(sorted(final, key=lambda cell: cell.seed), results, args.jobs)
    print(table(results.lines))


def keys(name: str, batch: int) -> tuple[str, ...]:
    return (*OPTIMIZERS[name][0], f"train.batch_size={batch}")


def rates(name: str, batch: int) -> list[float]:
    """The learning rates that are tried, the lowest first."""
    lowest = OPTIMIZERS[name][1] * (batch / BATCHES[-1]) ** 0.5
    return [float(f"{lowest * 3**number:.3g}") for number in range(TRIALS)]


def trials(name: str, batch: int, recipe: Any, common: tuple[str, ...]) -> list[Cell]:
    held_out = ("data.val=10%", "evaluate.test=false")
    return [
        Cell(
            "tuning",
            f"{name}, {batch}",
            (*keys(name, batch), f"train.lr={lr:g}"),
            TUNING_SEED,
            recipe,
            (*common, *held_out),
        )
        for lr in rates(name, batch)
    ]


def best_lr(lines: Sequence[Line], name: str, batch: int) -> float | None:
    """The rate with the best validation accuracy; None until all have been tried, or where none could be trained."""
    tried = [line for line in lines if line["study"] == "tuning" and line["variant"] == f"{name}, {batch}"]
    good = [line for line in tried if "error" not in line]
    if len(tried) < TRIALS or not good:
        return None
    best = max(good, key=lambda line: line["metrics"]["val/top1"])
    return float(best["overrides"][-1].removeprefix("train.lr="))


def table(lines: Sequence[Line]) -> str:
    """Mean test accuracy of each cell, with its spread over seeds and the rate that was chosen."""
    rows = [" | ".join(["optimizer", *(f"batch {batch:,}" for batch in sorted(BATCHES))])]
    for name in OPTIMIZERS:
        cells = []
        for batch in sorted(BATCHES):
            runs = [line for line in lines if line["study"] == "test" and line["variant"] == f"{name}, {batch}"]
            values = [100 * line["metrics"]["top1"] for line in runs if "error" not in line]
            spread = f" +- {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            lr = runs[0]["overrides"][-1].removeprefix("train.") if runs else ""
            cells.append(f"{statistics.fmean(values):.2f}{spread} ({len(values)} seeds, {lr})" if values else "-")
        rows.append(" | ".join([name, *cells]))
    return "\n".join(rows)


if __name__ == "__main__":
    main()
