"""What selection saves on the digits that scikit-learn brings: one line a run in results/savings.jsonl.

    python benchmarks/savings.py [--seeds 0,1,2,3,4]

The threshold of `dbpd` is chosen on validation images with seeds of its own: the lowest whose mean top-1 lies within
half a point of plain training's, or the best if none does. Then every variant is trained on all training images with
the seeds asked for and evaluated once on the test images. Only missing runs are made. Plain training for half the
epochs, its learning rate annealed all the same, is what a method must beat.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import RESULTS, keep

import fewer

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "digits.toml"
THRESHOLDS = (0.5, 0.7, 0.9)
CHOOSING_SEEDS = (100, 101)
SLACK = 0.005
DBPD = ("select.method=dbpd", "select.revision=1ep")
KINDS = ("stale", "fresh")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2,3,4", help="comma-separated")
    seeds = list(map(int, parser.parse_args().seeds.split(",")))
    variants: dict[str, tuple[str, ...]] = {
        "plain training": (),
        "plain training, half the epochs": ("train.epochs=6",),
        "random": ("select.method=random", "select.share=0.5", "select.revision=1ep"),
    }
    for kind in KINDS:
        threshold = chosen(kind)
        variants[f"dbpd {kind}"] = (*DBPD, f"select.score={kind}", f"select.threshold={threshold}")
    for seed in seeds:  # seeds outside: what else the machine does meets every variant alike
        for name, overrides in variants.items():
            result(name, overrides, "test", seed)
    for name in variants:
        runs = [line for line in finished() if line["variant"] == name and line["split"] == "test"]
        top1 = [100 * line["top1"] for line in runs]
        fee = statistics.fmean(line["full_epoch_equivalents"] for line in runs)
        print(f"{name:32} {statistics.fmean(top1):.2f} ± {statistics.stdev(top1):.2f} %  {fee:.2f} FEE")


def chosen(kind: str) -> float:
    """The threshold, by validation."""
    plain = mean_top1("plain training", ())
    found = {}
    for threshold in THRESHOLDS:
        overrides = (*DBPD, f"select.score={kind}", f"select.threshold={threshold}")
        try:
            found[threshold] = mean_top1(f"dbpd {kind} {threshold}", overrides)
        except fewer.FewerError as error:  # a run that keeps nothing any more is no choice
            print(f"val: dbpd {kind} {threshold}: {error}", flush=True)
            continue
        print(f"val: dbpd {kind} {threshold}: {found[threshold]:.2%}, plain {plain:.2%}", flush=True)
    good = [threshold for threshold, top1 in found.items() if top1 >= plain - SLACK]
    return min(good) if good else max(found, key=lambda threshold: found[threshold])


def mean_top1(name: str, overrides: Sequence[str]) -> float:
    return statistics.fmean(result(name, overrides, "val", seed)["top1"] for seed in CHOOSING_SEEDS)


def result(variant: str, overrides: Sequence[str], split: str, seed: int) -> dict[str, Any]:
    """The line of one run, which is made where it is missing."""
    cell = {"variant": variant, "overrides": list(overrides), "split": split, "seed": seed}
    for line in finished():
        if all(line[key] == value for key, value in cell.items()):
            return line
    held_out = ["data.val=20%"] if split == "val" else []
    # Pictures are no part of what is measured.
    quiet = ["out.keep=1", "out.plots=false", "out.previews=false"]
    recipe = fewer.load_recipe(RECIPE, [*overrides, *held_out, *quiet, f"train.seed={seed}"])
    with tempfile.TemporaryDirectory() as folder:
        done = fewer.fit(recipe, Path(folder) / "run")
    ledger = done["ledger"]
    keep(
        "savings",
        **cell,
        top1=done["metrics"][f"{split}/top1"],
        effective_epochs=ledger["effective_epochs"],
        full_epoch_equivalents=ledger["full_epoch_equivalents"],
        seconds=ledger["seconds"]["total"],
        steps=done["steps"],
    )
    return finished()[-1]


def finished() -> list[dict[str, Any]]:
    file = RESULTS / "savings.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


if __name__ == "__main__":
    main()
