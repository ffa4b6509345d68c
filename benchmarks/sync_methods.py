"""Accuracy and bytes of methods that let workers agree seldom, beside agreeing at every step.

    python benchmarks/sync_methods.py [--seeds 0,1] [--jobs 2] [--only TEXT]

LeNet-5 of half the width on 20,000 images of CIFAR-10, 10 epochs of batches of 256 images in all, whatever the number
of workers, so that every run takes as many steps and samples: the recipe is studies/lenet5-20k.toml. K workers are
simulated; the bytes are those that each would send from a machine of its own. One line a finished run in
results/sync_methods.jsonl; only missing runs are made, seeds outermost. At the end a table and, with `--plot FILE`,
accuracy against bytes.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cells
from cells import Cell
from common import ROOT, Results, parsed, parser

from fewer.compare.verdict import Sample, paired

WORKERS, STEPS = (4, 8, 2), (16, 64, 4)
EVERY_STEP = "every step"
METHODS: dict[str, tuple[str, ...]] = {
    "local SGD": ("sync.method=local_sgd",),
    "SlowMo": ("sync.method=slowmo",),
    "DiLoCo": ("sync.method=diloco",),
}
# Beyond the grid: what makes syncs that are not quite so rare smaller, to the same bytes.
_SMALLER = (("SlowMo", 8, "int4"), ("local SGD", 8, "int4"), ("SlowMo", 16, "int8"), ("SlowMo", 32, "int4"))
_RANKS = (1, 2)  # of PowerSGD, which syncs at every step
TINY = ("train.epochs=2", "model.width=0.1", "data.subset=128")
DIGITS, LENET = ROOT / "recipes" / "digits.toml", ROOT / "benchmarks" / "studies" / "lenet5-20k.toml"

Line = Mapping[str, Any]


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--seeds", default="0,1", help="comma-separated")
    command.add_argument("--jobs", type=int, default=1, help="runs side by side")
    command.add_argument("--only", default="", help="variants whose name holds this text, and the baselines")
    command.add_argument("--plot", type=Path, help="file for the figure")
    args = parsed(command, "--seeds=0", "--only=K 2, H 4")
    results = Results("sync_methods", args.smoke)
    wanted = [
        Cell("sync_methods", variant, overrides, seed, DIGITS if args.smoke else LENET, TINY if args.smoke else ())
        for seed in map(int, args.seeds.split(","))
        for variant, overrides in variants().items()
        if args.only in variant or is_baseline(variant, args.only)
    ]
    cells.make(wanted, results, args.jobs)
    rows = summary(results.lines)
    print("variant | seeds | top-1 % | against every step, points | fewer bytes | seconds, of every step")
    for row in rows:
        print(row.text())
    if args.plot:
        plot(rows, args.plot)


def is_baseline(variant: str, only: str) -> bool:
    """Whether a variant is what those that were asked for are held against."""
    name, workers = variant.split(", ")[:2]
    return name == EVERY_STEP and (workers in only or "K " not in only)


def variants() -> dict[str, tuple[str, ...]]:
    """The baselines, then the grid, its most telling cells first, then what makes rare syncs smaller, too."""
    found = {f"{EVERY_STEP}, K {workers}": (f"sync.workers={workers}",) for workers in WORKERS}
    for steps in STEPS:
        for workers in WORKERS:
            for name, overrides in METHODS.items():
                keys = (*overrides, f"sync.workers={workers}", f"sync.every_steps={steps}")
                found[f"{name}, K {workers}, H {steps}"] = keys
    for name, steps, payload in _SMALLER:
        keys = (*METHODS[name], "sync.workers=4", f"sync.every_steps={steps}", f"sync.payload={payload}")
        found[f"{name}, K 4, H {steps}, {payload}"] = keys
    for rank in _RANKS:
        keys = ("sync.method=powersgd", "sync.workers=4", f"sync.matrix_rank={rank}", "sync.start_step=10")
        found[f"PowerSGD, K 4, rank {rank}"] = keys
    return found


@dataclass(frozen=True)
class Row:
    """A variant beside agreeing at every step with as many workers, seed by seed.

    Attributes:
        variant: Its name.
        top1: Mean test accuracy, in percent.
        difference: Accuracy less that of every step, as a share.
        fewer: Bytes of every step over its own.
        seconds: Of training and syncs, over those of every step.
    """

    variant: str
    top1: float
    difference: Sample
    fewer: float
    seconds: float

    def text(self) -> str:
        difference, seeds = self.difference, len(self.difference.values)
        half = "" if difference.high is None else f" +- {100 * (difference.high - difference.mean):.2f}"
        apart = f"{100 * difference.mean:+.2f}{half}"
        return f"{self.variant} | {seeds} | {self.top1:.2f} | {apart} | {self.fewer:.1f} x | {self.seconds:.2f}"


def summary(lines: Sequence[Line]) -> list[Row]:
    """A row a variant whose baseline is on record, those that send least first."""
    runs: dict[str, dict[int, Line]] = {}
    for line in lines:
        if "error" not in line:
            runs.setdefault(line["variant"], {})[line["seed"]] = line
    rows = []
    for variant, arm in runs.items():
        workers = next(text.split()[1] for text in variant.split(", ") if text.startswith("K "))
        base = runs.get(f"{EVERY_STEP}, K {workers}", {})
        values, others = ({seed: run["metrics"]["top1"] for seed, run in each.items()} for each in (arm, base))
        if (difference := paired(values, others)) is None:
            continue
        pairs = [(arm[seed], base[seed]) for seed in sorted(arm.keys() & base.keys())]
        rows.append(
            Row(
                variant,
                100 * statistics.fmean(ours["metrics"]["top1"] for ours, _ in pairs),
                difference,
                statistics.fmean(theirs["bytes_sent"] / max(1, ours["bytes_sent"]) for ours, theirs in pairs),
                statistics.median(_spent(ours) / _spent(theirs) for ours, theirs in pairs),
            )
        )
    return sorted(rows, key=lambda row: -row.fewer)


def _spent(line: Line) -> float:
    """Seconds of steps and syncs."""
    return float(line["seconds"]["train"] + line["seconds"]["sync"])


def plot(rows: Sequence[Row], file: Path) -> None:
    """Draws accuracy beside every step's against how many times fewer bytes were sent."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for name in METHODS:
        for workers, marker in zip(WORKERS, "osv", strict=True):
            of_name = [row for row in rows if row.variant.startswith(f"{name}, K {workers}")]
            means = [100 * row.difference.mean for row in of_name]
            colour = f"C{list(METHODS).index(name)}"
            axes.plot(
                [row.fewer for row in of_name],
                means,
                marker,
                color=colour,
                label=f"{name}, {workers} workers",
                alpha=0.8,
            )
    axes.axhline(0, color="0.6", linewidth=1)
    axes.axhline(-1, color="0.6", linewidth=1, linestyle=":")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("times fewer bytes than every step")
    axes.set_ylabel("test top-1 less that of every step, points")
    axes.legend(fontsize=8, ncols=3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)


if __name__ == "__main__":
    main()
