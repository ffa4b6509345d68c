"""`fewer compare`: variants of a recipe against plain training, over paired seeds and at equal cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fewer.cli.options import Json, Overrides, RecipeFile

if TYPE_CHECKING:
    from fewer.compare.grid import Cell
    from fewer.session.progress import Display

NoCurve = Annotated[bool, typer.Option("--no-curve", help="Leave out plain and random training at smaller budgets.")]


def compare(
    recipe: RecipeFile,
    overrides: Overrides = None,
    vary: Annotated[
        Optional[list[str]],  # noqa: UP045 (typer reads this at run time)
        typer.Option(
            "--vary",
            metavar="KEY=A,B",
            help="Values of one key to compare, such as select.method=dbpd,srd; several --vary make a grid.",
            show_default=False,
        ),
    ] = None,
    variants: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--variants", help="A TOML file with a table [variants.NAME] for each.", show_default=False),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs of every arm, from the recipe's seed on.")] = 5,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", help="Folder; by default runs/NAME-compare.", show_default=False),
    ] = None,
    margin: Annotated[float, typer.Option("--margin", help="Loss of quality that counts as none, in points.")] = 0.5,
    metric: Annotated[
        str,
        typer.Option("--metric", help="The deciding metric; by default the task's primary one.", show_default=False),
    ] = "",
    budgets: Annotated[
        str, typer.Option("--budgets", help="Budgets of plain and random training: shares, or epochs.")
    ] = "25%,50%,75%,100%",
    curve: Annotated[
        str,
        typer.Option(
            "--curve",
            help="How plain training at --budgets is made: `runs` of their own, or a `ladder` that shares one trunk.",
        ),
    ] = "runs",
    no_curve: NoCurve = False,
    confirm: Annotated[
        int, typer.Option("--confirm", help="Fresh seeds for what passed: trained on all, judged on test; 0: none.")
    ] = 0,
    as_json: Json = False,
) -> int:
    """Compare variants of a recipe with plain training: quality and cost, over paired seeds, with a verdict each.

    Finished runs are used and unfinished ones resumed: the same command continues where it stopped.
    """
    from fewer.compare.comparison import Question
    from fewer.compare.comparison import compare as compared

    question = Question(
        recipe, tuple(overrides or ()), tuple(vary or ()), variants, seeds, "" if no_curve else budgets, margin, metric,
        confirm, curve,  # type: ignore[arg-type]  # checked there
    )  # fmt: skip
    folder = out or Path("runs") / f"{recipe.stem}-compare"
    summary = compared(question, folder, Follower())
    if as_json:
        import json

        print(json.dumps(summary))
    else:
        _show(summary)
        if confirmation := summary["confirmation"]:
            print("\nConfirmed on fresh seeds")
            _show(confirmation, confirms=True)
        print(folder / "compare.html")
    return 0


class Follower:
    """Progress of a comparison on stderr: a live line on a terminal while a run trains, and a line for each run."""

    def note(self, text: str) -> None:
        import sys

        from fewer.core.errors import printable

        for line in text.splitlines():
            print(printable(line), file=sys.stderr)

    @contextmanager
    def training(self, title: str) -> Iterator[Display]:
        from rich.console import Console

        from fewer.cli.display import OneOfMany
        from fewer.core.errors import printable

        live = OneOfMany(Console(stderr=True), printable(title))
        with live.bar:
            yield live

    def ended(self, cell: Cell, fee: float, done: int, total: int, left_s: float | None) -> None:
        from fewer import tasks
        from fewer.report.units import roughly

        metrics, ledger = cell.result.get("metrics", {}), cell.result.get("ledger")
        primary = tasks.module(cell.arm.recipe.task.name).PRIMARY
        names = (f"{split}/{primary.name}" for split in ("val", "test"))
        numbers = [f"{name} {primary.text(metrics[name])}" for name in names if name in metrics]
        if ledger:
            numbers += [f"{fee:.2f} FEE", f"{ledger['seconds']['total']:.1f} s"]
        what = ", ".join(numbers) if cell.state == "done" else f"failed: {cell.message}"
        left = f"; {roughly(left_s)} left" if left_s else ""
        self.note(f"{done}/{total}  {cell.arm.name}, seed {cell.seed}: {what}{left}")


def _show(summary: dict[str, Any], confirms: bool = False) -> None:
    """The arms as a table, then a line for each verdict; variants are numbered as on the page."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fewer.compare import formatting
    from fewer.core.errors import printable
    from fewer.report import units
    from fewer.report.metrics import Metrics

    metric, variants = summary["metric"], [arm for arm in summary["arms"] if arm["kind"] == "variant"]
    names = {arm["name"]: f"{i}. {arm['name']}" for i, arm in enumerate(variants, start=1)}
    kind = Metrics(summary["task"])[metric]
    head = (f"{metric}{', %' if kind.is_share else ''}", "over plain", "EE", "FEE", "cost", "time", "steps")
    rows = [
        (
            formatting.level(kind, arm["metrics"].get(metric)).removesuffix(f"{units.NBSP}%"),
            formatting.gain(arm.get("difference")),
            formatting.spent(arm["effective_epochs"], formatting.epochs),
            formatting.spent(arm["full_epoch_equivalents"], formatting.epochs),
            formatting.ratio(arm),
            formatting.spent(arm["seconds"], units.duration),
            formatting.spent(arm["optimizer_steps"], units.count),
        )
        for arm in summary["arms"]
    ]
    console, columns = Console(highlight=False), list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    room = max(12, console.width - sum(widths) - len(widths))  # names give way, numbers do not
    grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("", overflow="ellipsis", no_wrap=True, max_width=room)
    for heading, width in zip(head, widths, strict=True):
        grid.add_column(heading, justify="right", no_wrap=True, min_width=width)
    for arm, row in zip(summary["arms"], rows, strict=True):
        grid.add_row(Text(printable(names.get(arm["name"], arm["name"]))), *(cell.replace("\xa0", " ") for cell in row))
    console.print(grid)
    print()
    for arm in variants:
        print(printable(f"{names[arm['name']]}: {arm['verdict']}"))
        for failed in arm["failed"][:1]:
            print(printable(f"   seed {failed['seed']}: {failed['message']}"))
    for line in filter(None, (formatting.shared(summary), formatting.caution(summary, confirms))):
        print(printable(line))
