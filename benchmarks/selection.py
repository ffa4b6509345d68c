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
import random

import cells
from cells import Cell
from common import ROOT, Results, parsed, parser
from variants import STUDIES, UNIFORM, as_recorded


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
    for study in args.studies:
        if STUDIES[study].uniform:
            write_uniform(STUDIES[study].uniform)
    cells.make(wanted(args), Results("selection", args.smoke), args.jobs)


def wanted(args: argparse.Namespace) -> list[Cell]:
    """All runs that were asked for, seeds outermost."""
    return [
        Cell(name, variant, as_recorded(overrides), seed, STUDIES[name].recipe, STUDIES[name].overrides)
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


if __name__ == "__main__":
    main()
