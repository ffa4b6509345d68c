"""Savings of selection on the digits that scikit-learn brings.

    python benchmarks/savings.py [--seeds 0,1,2,3,4]

The threshold of `dbpd` is chosen on validation images with seeds of its own: the lowest whose mean top-1 lies within
half a point of plain training's, or the best if none does. Then every variant is trained on all training images with
the seeds asked for and evaluated once on the test images. Only missing runs are made. Plain training for half the
epochs, its learning rate annealed all the same, is what a method must beat. One line a run in results/savings.jsonl.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tables
from common import ROOT, Results, parsed, parser
from variants import as_recorded

import fewer

RECIPE = ROOT / "recipes" / "digits.toml"
SLACK = 0.005
DBPD = ("select.method=dbpd", "select.revision=1ep")  # and the defaults of `as_recorded`
KINDS = ("stale", "fresh")
TINY = ("data.subset=64", "train.epochs=2", "model.width=0.1")


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--seeds", default="0,1,2,3,4", help="comma-separated")
    args = parsed(command, "--seeds=0")
    results = Results("savings", args.smoke)
    runs = Runs(results, (0.9,), (100,), TINY) if args.smoke else Runs(results)
    half = 1 if args.smoke else 6
    variants: dict[str, tuple[str, ...]] = {
        "plain training": (),
        "plain training, half the epochs": (f"train.epochs={half}",),
        "random": ("select.method=random", "select.share=0.5", "select.revision=1ep"),
    }
    for kind in KINDS:
        threshold = runs.threshold(kind)
        variants[f"dbpd {kind}"] = (*DBPD, f"select.score={kind}", f"select.threshold={threshold}")
    for seed in map(int, args.seeds.split(",")):  # seeds outside: what else the machine does meets every variant alike
        for name, overrides in variants.items():
            runs.line(name, overrides, "test", seed)
    print(tables.savings(results.lines))


@dataclass(frozen=True)
class Runs:
    """The runs on record, and how missing ones are made.

    Attributes:
        results: Where their lines are kept.
        thresholds: Those that `dbpd` is tried with.
        choosing_seeds: Seeds of the runs that a threshold is chosen by.
        overrides: Of every run.
    """

    results: Results
    thresholds: tuple[float, ...] = (0.5, 0.7, 0.9)
    choosing_seeds: tuple[int, ...] = (100, 101)
    overrides: tuple[str, ...] = ()

    def threshold(self, kind: str) -> float:
        """The threshold, by validation."""
        plain = self.mean_top1("plain training", ())
        found = {}
        for threshold in self.thresholds:
            overrides = (*DBPD, f"select.score={kind}", f"select.threshold={threshold}")
            try:
                found[threshold] = self.mean_top1(f"dbpd {kind} {threshold}", overrides)
            except fewer.FewerError as error:  # a run that keeps nothing any more is no choice
                print(f"val: dbpd {kind} {threshold}: {error}", flush=True)
                continue
            print(f"val: dbpd {kind} {threshold}: {found[threshold]:.2%}, plain {plain:.2%}", flush=True)
        good = [threshold for threshold, top1 in found.items() if top1 >= plain - SLACK]
        return min(good) if good else max(found, key=lambda threshold: found[threshold])

    def mean_top1(self, name: str, overrides: Sequence[str]) -> float:
        """Mean validation top-1 over the choosing seeds."""
        return statistics.fmean(self.line(name, overrides, "val", seed)["top1"] for seed in self.choosing_seeds)

    def line(self, variant: str, overrides: Sequence[str], split: str, seed: int) -> dict[str, Any]:
        """The line of one run, which is made where it is missing."""
        overrides = as_recorded(overrides)
        cell = {"variant": variant, "overrides": list(overrides), "split": split, "seed": seed}
        for line in self.results.lines:
            if all(line[key] == value for key, value in cell.items()):
                return line
        held_out = ["data.val=20%"] if split == "val" else []
        # Pictures are no part of what is measured.
        quiet = ["out.keep=1", "out.plots=false", "out.previews=false", f"train.seed={seed}"]
        recipe = fewer.load_recipe(RECIPE, [*self.overrides, *overrides, *held_out, *quiet])
        with tempfile.TemporaryDirectory() as folder:
            done = fewer.fit(recipe, Path(folder) / "run", progress=False)
        ledger = done["ledger"]
        return self.results.keep(
            **cell,
            top1=done["metrics"][f"{split}/top1"],
            effective_epochs=ledger["effective_epochs"],
            full_epoch_equivalents=ledger["full_epoch_equivalents"],
            seconds=ledger["seconds"]["total"],
            steps=done["steps"],
        )


if __name__ == "__main__":
    main()
