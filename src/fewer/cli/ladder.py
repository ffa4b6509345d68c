"""`fewer ladder`: accuracy against cost, from one trunk with a cooldown for every budget."""

import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from fewer.cli.options import For, Json, Overrides, RecipeOrSource, Until, print_document, sitting


def ladder(
    recipe: RecipeOrSource,
    overrides: Overrides = None,
    budgets: Annotated[str, typer.Option("--budgets", help="Shares of the recipe's epochs.")] = "0.4,0.6,0.8,1",
    cooldown: Annotated[
        str, typer.Option("--cooldown", help="Part of each budget in which the rate falls, or epochs: 3ep.")
    ] = "20%",
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", help="Folder of its runs and files; by default runs/NAME-ladder.", show_default=False),
    ] = None,
    until: Until = "",
    length: For = "",
    as_json: Json = False,
) -> int:
    """Say when training longer stops paying: one trunk at a constant rate, and a cooldown for every budget.

    Four budgets cost 1.4 runs in place of 2.8. A ladder that was stopped goes on when it is called again.
    """
    from fewer.cli.given import recipe_given
    from fewer.core.errors import printable

    ends, _ = sitting(until, length)
    found = recipe_given(recipe, overrides or [], probes=False)
    from fewer.cli.display import shown
    from fewer.runs.names import RUNS
    from fewer.tune.ladder import FILES, climb, rungs_of

    folder, rungs = out or RUNS / f"{found.name}-ladder", rungs_of(budgets, cooldown, found.recipe.epochs)
    with shown(0) as display:
        note = lambda text: print(printable(text), file=sys.stderr, flush=True)  # noqa: E731
        document = climb(found.recipe, rungs, folder, display, note, ends)
    print_document(document, as_json, _show, folder, FILES)
    return 0


def _show(document: dict[str, Any]) -> None:
    """A row a budget, and the answer."""
    from rich.console import Console
    from rich.table import Table

    from fewer.report import units

    key = document["metric"]
    other = [name for name in (f"test/{key.partition('/')[2]}",) if name != key]
    grid = Table("budget", "epochs", "FEE", "time", key, "interval", *other, "added FEE", box=None, pad_edge=False)
    for row in document["rungs"]:
        bounds = row["intervals"].get(key)
        grid.add_row(
            f"{row['budget']:g}",
            str(row["epochs"]),
            f"{row['full_epoch_equivalents']:.2f}",
            units.duration(row["seconds"]).replace(units.NBSP, " "),
            _figure(row["metrics"].get(key), bool(bounds)),
            f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}" if bounds else "",
            *(_figure(row["metrics"].get(name), bool(bounds)) for name in other),
            f"{row['added_full_epoch_equivalents']:.2f}",
        )
    Console(highlight=False).print(grid)
    spent, apart = document["full_epoch_equivalents"], document["apart_full_epoch_equivalents"]
    print(f"{spent:.2f} FEE in all, {document['runs']:.2f} runs; trained one by one: {apart:.2f} FEE")
    print(document["answer"])


def _figure(value: float | None, is_share: bool) -> str:
    return "" if value is None else f"{value:.2%}" if is_share else f"{value:.4f}"
