"""Accuracy and cost of every selection method, beside plain training that was shortened and annealed.

    python benchmarks/selection.py STUDY ... [--seeds 0,1,2,3,4] [--jobs 2] [--only TEXT] [--without TEXT ...]

A study is a recipe and its variants. One line a finished run in results/selection.jsonl. Only missing runs are made,
seeds outermost, so that what else the machine does meets all variants alike; a run that was interrupted is resumed.
Run folders lie in runs/selection/. With several jobs each has one thread, and seconds are those of a machine that is
shared.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import random
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from common import ROOT, Results, parsed, parser
from variants import STUDIES, UNIFORM, as_recorded

RUNS = ROOT / "runs" / "selection"


def main() -> None:
    command = parser(__doc__)
    command.add_argument("studies", nargs="+", choices=list(STUDIES), metavar="STUDY", help=", ".join(STUDIES))
    command.add_argument("--seeds", default="0,1,2,3,4", help="comma-separated")
    command.add_argument("--jobs", type=int, default=1, help="runs side by side")
    command.add_argument("--only", default="", help="variants whose name holds this text")
    command.add_argument(
        "--without", nargs="*", default=(), metavar="TEXT", help="variants whose name holds none of these"
    )
    args = parsed(command, "smoke", "--seeds=0")
    results = Results("selection", args.smoke)
    made = {cell_key(line) for line in results.lines}
    cells = [cell for cell in wanted(args) if cell_key(cell) not in made]
    print(f"{len(cells)} runs to make", flush=True)
    for study in args.studies:
        if STUDIES[study].uniform:
            write_uniform(STUDIES[study].uniform)
    if args.jobs > 1:
        os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryDirectory() if args.smoke else nullcontext(RUNS) as runs,
        ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn")) as pool,
    ):
        for done in as_completed([pool.submit(run, cell, Path(runs)) for cell in cells]):
            line = done.result()
            results.keep(**line, jobs=args.jobs)
            print(line["study"], line["variant"], line["seed"], line.get("error", line.get("metrics")), flush=True)


def wanted(args: argparse.Namespace) -> list[dict[str, Any]]:
    """All runs that were asked for, seeds outermost."""
    return [
        {"study": name, "variant": variant, "overrides": list(as_recorded(overrides)), "seed": seed}
        for seed in map(int, args.seeds.split(","))
        for name in args.studies
        for variant, overrides in STUDIES[name].variants.items()
        if args.only in variant and not any(text in variant for text in args.without)
    ]


def write_uniform(data: str, share: float = 0.4, classes: int = 10) -> None:
    """Writes labels of which a share is another class, drawn at random."""
    rows = cifar10_labels() if data == "cifar10" else digit_labels()
    draws, target = random.Random(0), UNIFORM[data]
    wrong = set(draws.sample(range(len(rows)), round(share * len(rows))))
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label"))
        for index, (name, label) in enumerate(rows):
            writer.writerow((name, (label + draws.randrange(1, classes)) % classes if index in wrong else label))


def cifar10_labels() -> list[tuple[str, int]]:
    """File and class of every training image."""
    with (ROOT / "data" / "cifar10" / "cifar10n_labels.csv").open() as source:
        return [(row["file"], int(row["clean_label"])) for row in csv.DictReader(source)]


def digit_labels() -> list[tuple[str, int]]:
    """File and class of every image."""
    from sklearn.datasets import load_digits

    return [(f"{label}/digit-{row:04d}.png", int(label)) for row, label in enumerate(load_digits().target)]


def cell_key(cell: dict[str, Any]) -> str:
    return json.dumps([cell[key] for key in ("study", "variant", "overrides", "seed")])


def run(cell: dict[str, Any], runs: Path) -> dict[str, Any]:
    """Makes a run in a folder below `runs`, or goes on with one that was interrupted; returns its line."""
    from fewer.machine.memory import keep_freed_memory

    keep_freed_memory()  # as the command line does, before torch is imported
    import fewer
    from fewer.core.errors import Stopped

    study = STUDIES[cell["study"]]
    name = "".join(c if c.isalnum() or c in ".-" else "_" for c in f"{cell['study']}-{cell['variant']}-{cell['seed']}")
    folder = runs / name
    quiet = ["out.keep=1", "out.plots=false", "out.previews=false", "evaluate.every=0"]
    overrides = [*study.overrides, *cell["overrides"], *quiet, f"train.seed={cell['seed']}"]
    try:
        if (folder / "recipe.resolved.toml").exists():
            done = fewer.resume(folder, progress=False)
        else:
            done = fewer.fit(fewer.load_recipe(study.recipe, overrides), folder, progress=False)
    except Stopped:
        raise
    except fewer.FewerError as error:  # a variant that cannot be trained is a result, too
        return {**cell, "error": str(error)}
    ledger = done["ledger"]
    shutil.rmtree(folder)
    return {
        **cell,
        "digest": done["digest"],
        "metrics": {key.removeprefix("test/"): value for key, value in done["metrics"].items()},
        **{key: ledger[key] for key in ("effective_epochs", "full_epoch_equivalents", "samples_forwarded", "flops")},
        "seconds": ledger["seconds"],
        "steps": done["steps"],
    }


if __name__ == "__main__":
    main()
