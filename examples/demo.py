"""A demonstration, `make demo`: four recipes on scikit-learn's digits, with accuracy and cost of each.

    python examples/demo.py [--out FOLDER] [--smoke]

The run folders are runs/demo/METHOD; each demo replaces the one before.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import fewer

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "recipes" / "digits.toml"
SHARED = ("train.epochs=8", "out.keep=1")
SMOKE = ("train.epochs=2", "data.subset=200", "model.width=0.25", "out.plots=false", "out.previews=false")
# Thresholds and shares were set by looking at these test images: a demonstration, not a result.
DBPD = ("select.method=dbpd", "select.threshold=0.9", "select.revision=1ep")
METHODS = {
    "everything": ((), "every image in every epoch, which is plain training"),
    "random": (("select.method=random", "select.revision=1ep"), "another random half of the images in each epoch"),
    "dbpd stale": ((*DBPD, "select.score=stale"), "images whose last score was low; no other is loaded"),
    "dbpd fresh": ((*DBPD, "select.score=fresh"), "images that a forward on each batch gives a low score"),
}
READING = (
    "Open one in a browser: first come accuracy and cost, then curves against epochs, seconds and FEE, then what was "
    "predicted beside what was spent."
)


class Bar:
    """One bar a method, on stderr. Of all that `fewer.fit` tells a display it shows the steps alone."""

    def __init__(self, progress: Progress, name: str) -> None:
        self.progress, self.task = progress, progress.add_task(name, total=1.0, said="decoding")

    def ignore(self, *_: Any) -> None:
        return

    decoding = note = begin = phase = epoch = ignore

    def row(self, row: Any, session: Any) -> None:
        done = row.progress + 1 / row.batches / session.plan.epochs
        said = f"epoch {row.epoch + 1}/{session.plan.epochs}" + (f"  loss {row.loss:.3f}" if row.loss else "")
        self.progress.update(self.task, completed=done, said=said)


def main(out: Path, overrides: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Trains every method into a folder of its own below `out`; returns their results by name."""
    results = {}
    stderr = Console(stderr=True)
    if not stderr.is_terminal:
        stderr.print(f"training {', '.join(METHODS)}; about a minute", highlight=False)
    columns = TextColumn("{task.description:10}"), BarColumn(30), TextColumn("{task.fields[said]}"), TimeElapsedColumn()
    with Progress(*columns, console=stderr, disable=not stderr.is_terminal) as progress:
        for name, (chosen, _) in METHODS.items():
            run = folder_of(out, name)
            remove_earlier(run)
            recipe = fewer.load_recipe(RECIPE, [*SHARED, *chosen, *overrides])
            results[name] = fewer.fit(recipe, run, display=Bar(progress, name))
    return results


def folder_of(out: Path, name: str) -> Path:
    return out / name.replace(" ", "-")


def remove_earlier(folder: Path) -> None:
    """Removes the folder if a run made it; anything else is left for `fewer.fit` to refuse."""
    if (folder / "recipe.resolved.toml").is_file():
        shutil.rmtree(folder)


def show(results: dict[str, dict[str, Any]], out: Path, seconds: float) -> None:
    """Prints one table and where the reports are."""
    console = Console(highlight=False, soft_wrap=True)
    table = Table("method", title="lenet5 on 1,438 digits, tested on the other 359", title_justify="left")
    for column in ("test top-1", "EE", "FEE", "seconds", "steps"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, result in results.items():
        ledger = result["ledger"]
        table.add_row(
            name,
            f"{result['metrics']['test/top1']:.1%}",
            f"{ledger['effective_epochs']:.2f}",
            f"{ledger['full_epoch_equivalents']:.2f}",
            f"{ledger['seconds']['total']:.1f}",
            f"{result['steps']}",
        )
    console.print(table)
    for name, (_, trains_on) in METHODS.items():
        console.print(f"{name:10} trains on {trains_on}")
    console.print(
        "\nEE counts the images trained on, FEE the computing of everything, both in epochs of plain training."
        "\nOne seed and 359 test images: a difference of less than 2 points says nothing."
        f"\n\nReports, after {seconds:.0f} s:"
    )
    for name in results:
        console.print(f"  {os.path.relpath(folder_of(out, name) / 'report.html')}")
    console.print(READING)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of the run folders (default: runs/demo)")
    parser.add_argument("--smoke", action="store_true", help="a few images and epochs, into a temporary folder")
    args = parser.parse_args()
    folder = args.out or (Path(tempfile.mkdtemp(prefix="fewer-demo-")) if args.smoke else ROOT / "runs" / "demo")
    began = time.monotonic()
    show(main(folder, SMOKE if args.smoke else ()), folder, time.monotonic() - began)
