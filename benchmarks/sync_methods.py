"""Accuracy and bytes of methods that let workers agree seldom, beside agreeing at every step.

    python benchmarks/sync_methods.py [--seeds 0,1] [--jobs 2] [--only TEXT]

LeNet-5 of half the width on 20,000 images of CIFAR-10, 10 epochs of batches of 256 images in all, whatever the number
of workers, so that every run takes as many steps and samples: the recipe is studies/lenet5-20k.toml. K workers are
simulated; the bytes are those that each would send from a machine of its own. One line a finished run in
results/sync_methods.jsonl; only missing runs are made, seeds outermost. At the end a table and, with `--plot FILE`,
accuracy against bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cells
from cells import Cell
from common import ROOT, Results, parsed, parser
from tables import EVERY_STEP, SyncRow, sync_rows

WORKERS, STEPS = (4, 8, 2), (16, 64, 4)
METHODS: dict[str, tuple[str, ...]] = {
    "local SGD": ("sync.method=local_sgd",),
    "SlowMo": ("sync.method=slowmo",),
    "DiLoCo": ("sync.method=diloco",),
}
# Beyond the grid: what makes syncs that are not quite so rare smaller, to the same bytes.
_SMALLER = (
    ("SlowMo", 2, 16, "int4"),
    ("local SGD", 2, 16, "int4"),
    ("SlowMo", 2, 32, "int4"),
    ("SlowMo", 4, 8, "int4"),
    ("local SGD", 4, 8, "int4"),
    ("SlowMo", 4, 16, "int8"),
    ("SlowMo", 4, 32, "int4"),
)
_RANKS = (1, 2)  # of PowerSGD, which syncs at every step
TINY = ("train.epochs=2", "model.width=0.1", "data.subset=128")
DIGITS, LENET = ROOT / "recipes" / "digits.toml", ROOT / "benchmarks" / "studies" / "lenet5-20k.toml"


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
    rows = sync_rows(results.lines)
    print("variant | seeds | top-1 % | against every step, points | fewer bytes")
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
    for name, workers, steps, payload in _SMALLER:
        keys = (*METHODS[name], f"sync.workers={workers}", f"sync.every_steps={steps}", f"sync.payload={payload}")
        found[f"{name}, K {workers}, H {steps}, {payload}"] = keys
    for rank in _RANKS:
        keys = ("sync.method=powersgd", "sync.workers=4", f"sync.matrix_rank={rank}", "sync.start_step=10")
        found[f"PowerSGD, K 4, rank {rank}"] = keys
    return found


def plot(rows: Sequence[SyncRow], file: Path) -> None:
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
