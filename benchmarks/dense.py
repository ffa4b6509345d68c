"""Detection and segmentation at equal cost: plain training, shortened, of growing pictures, and on a part of the data.

    python benchmarks/dense.py [--task detect segment] [--seeds 0,1,2] [--jobs 1] [--only TEXT] --weights FILE

recipes/detect-bccd.toml and recipes/segment-camvid.toml, shortened to a few minutes a run, from one trunk's ImageNet
weights. `recipe` runs a recipe as it is. One line a finished run in results/dense.jsonl; only missing runs are made,
seeds outermost. At the end a table: the metric on the test images beside that of plain training of the same seed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cells
from cells import Cell
from common import ROOT, Results, parsed, parser, shapes

RECIPES = {"detect": ROOT / "recipes" / "detect-bccd.toml", "segment": ROOT / "recipes" / "segment-camvid.toml"}
METRICS = {"detect": ("ap50", "ap"), "segment": ("miou", "pixel_accuracy")}
EPOCHS = {"detect": 10, "segment": 8}
SIDES_PX = {"detect": (128, 160, 192), "segment": (128, 160, 192)}
SHARE = 0.7  # of plain training's cost, which what saves is given
WHOLE = "the recipe as it is"
TINY = ("train.batch_size=4", "model.name=lraspp_mobilenet_v3_large")
Line = Mapping[str, Any]


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--task", nargs="*", choices=list(RECIPES), default=list(RECIPES))
    command.add_argument("--seeds", default="0,1,2", help="comma-separated")
    command.add_argument("--jobs", type=int, default=1, help="runs side by side")
    command.add_argument("--only", default="", help="variants whose name holds this text")
    command.add_argument("--weights", type=Path, help="file of a MobileNetV2's weights")
    args = parsed(command, "--seeds=0", "--task=segment", "--only=plain")
    if not args.smoke and not args.weights:  # a line does not say which weights, so all lines have the same
        command.error("--weights FILE is needed: a MobileNetV2's, such as torchvision's mobilenet_v2-b0353104.pth")
    with shapes(12, 64) if args.smoke else nullcontext() as made_up:
        tiny = (*TINY, f"data.source=masks:{made_up / 'masks'}") if made_up else ()
        study(args, tiny)


def study(args: Any, tiny: tuple[str, ...]) -> None:
    """Makes the runs that are not on record, and prints the table; `tiny` are further overrides."""
    results, weights = Results("dense", args.smoke), args.weights
    first = (f"model.weights={weights.resolve()}",) if weights else ()
    wanted = [
        Cell(task, variant, overrides, seed, RECIPES[task], (*first, *tiny))
        for seed in map(int, args.seeds.split(","))
        for task in args.task
        for variant, overrides in variants(task, args.smoke).items()
        if args.only in variant and (variant != WHOLE or args.only == WHOLE)
    ]
    cells.make(wanted, results, args.jobs)
    print(table(results.lines))


def variants(task: str, is_tiny: bool = False) -> dict[str, tuple[str, ...]]:
    """What is compared, each of about `SHARE` of the cost of plain training but for this itself."""
    epochs, sides = (3, (32, 64, 64)) if is_tiny else (EPOCHS[task], SIDES_PX[task])
    short = max(2, round(epochs * SHARE))
    whole = ("stages=", "train.evaluation_side_px=", f"train.side_px={sides[-1]}")
    dbpd = ("select.method=dbpd", f"select.cost={SHARE}", "select.revision=10%")
    found = {
        "plain": (*whole, f"train.epochs={epochs}"),
        f"plain, {SHARE:g} of the epochs": (*whole, f"train.epochs={short}"),
        "growing pictures": growing(epochs, sides),
        "stale scores": (*whole, f"train.epochs={epochs}", *dbpd),
    }
    if task == "detect":
        found["afss"] = (*whole, f"train.epochs={epochs}", "select.method=afss")
        found["growing pictures and afss"] = (*growing(epochs, sides), "select.method=afss")
    else:
        found["growing pictures and stale scores"] = (*growing(epochs, sides), *dbpd[:1], "select.cost=0.5", dbpd[2])
    return {**found, WHOLE: ()}


def growing(epochs: int, sides: Sequence[int]) -> tuple[str, ...]:
    """Three stages: a third of the epochs at each side, the last one a little longer."""
    first = epochs // 3
    each = (first, first, epochs - 2 * first)
    stages = ", ".join(f"{{epochs = {n}, side_px = {side}}}" for n, side in zip(each, sides, strict=True))
    return (f"train.evaluation_side_px={sides[-1]}", f"stages=[{stages}]")


def table(lines: Sequence[Line]) -> str:
    """A row a variant: its metrics, the difference from plain training of the same seeds, and what it took."""
    rows = ["task | variant | seeds | metric | against plain | FEE | seconds"]
    for task, (metric, other) in METRICS.items():
        plain = {line["seed"]: line for line in of(lines, task, "plain")}
        for variant in variants(task):
            runs = of(lines, task, variant)
            if not runs:
                continue
            value = statistics.fmean(100 * run["metrics"][metric] for run in runs)
            second = statistics.fmean(100 * run["metrics"][other] for run in runs)
            pairs = [
                100 * (run["metrics"][metric] - plain[run["seed"]]["metrics"][metric])
                for run in runs
                if run["seed"] in plain and variant not in ("plain", WHOLE)
            ]
            beside = f"{statistics.fmean(pairs):+.2f}" if pairs else "-"
            fee = statistics.fmean(run["full_epoch_equivalents"] for run in runs)
            seconds = statistics.fmean(run["seconds"]["total"] for run in runs)
            rows.append(
                f"{task} | {variant} | {len(runs)} | {metric} {value:.2f}, {other} {second:.2f} | {beside} | "
                f"{fee:.2f} | {seconds:.0f}"
            )
    return "\n".join(rows)


def of(lines: Sequence[Line], task: str, variant: str) -> list[Line]:
    """The finished runs of a variant."""
    return [line for line in lines if (line["study"], line["variant"]) == (task, variant) and "metrics" in line]


if __name__ == "__main__":
    main()
