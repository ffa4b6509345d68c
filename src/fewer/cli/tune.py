"""`fewer tune`: a search for good settings, by validation images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fewer.cli.compare import Follower
from fewer.cli.options import For, Json, Overrides, RecipeFile, Until, print_document, sitting

if TYPE_CHECKING:
    from fewer.core.evaluation import Metric
    from fewer.tune.search.trials import Trial

_SHOWN = 10  # trials in the table


def tune(
    recipe: RecipeFile,
    overrides: Overrides = None,
    search: Annotated[
        Optional[list[str]],  # noqa: UP045 (typer reads this at run time)
        typer.Option(
            "--search",
            metavar="KEY=VALUES",
            help="A key to search: 64,128,256, or 0.8..0.99, or log:1e-3..1. Beside those in the recipe's [search].",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--trials", min=1, help="Trials in all; by default every combination of lists, or 20."),
    ] = None,
    sampler: Annotated[
        str,
        typer.Option("--sampler", help="grid, tpe or random; by default grid where all are lists.", show_default=False),
    ] = "",
    no_prune: Annotated[bool, typer.Option("--no-prune", help="Train every trial to its end.")] = False,
    budget: Annotated[
        float, typer.Option("--budget", min=0, help="FEE after which no trial begins; 0: any number.")
    ] = 0.0,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", help="Folder; by default runs/NAME-tune.", show_default=False),
    ] = None,
    storage: Annotated[
        str,
        typer.Option("--storage", metavar="URL", help="Database, for several machines; else a file in the folder."),
    ] = "",
    study: Annotated[
        str,
        typer.Option("--study", help="The study's name in a database; by default the folder's.", show_default=False),
    ] = "",
    keep_checkpoints: Annotated[
        bool, typer.Option("--keep-checkpoints", help="Keep those of all trials; else only the best trial's stay.")
    ] = False,
    until: Until = "",
    length: For = "",
    as_json: Json = False,
) -> int:
    """Search for good settings: trials of other values, judged on validation images, the test images unseen.

    Writes best.toml, a recipe. A search that was stopped goes on when it is called again.
    """
    from fewer.tune.search.study import FILES, Question
    from fewer.tune.search.study import tune as tuned

    ends, _ = sitting(until, length)
    question = Question(
        recipe,
        tuple(overrides or ()),
        tuple(search or ()),
        trials=trials or 0,
        sampler=sampler,
        prune=not no_prune,
        budget=budget,
        storage=storage,
        study=study,
        keep_checkpoints=keep_checkpoints,
    )
    folder = out or Path("runs") / f"{recipe.stem}-tune"
    found = tuned(question, folder, Searcher(), ends)
    print_document(found, as_json, lambda document: _show(document, folder), folder, FILES)
    return 0


class Searcher(Follower):
    """Progress of a search on stderr: a live line on a terminal while a trial trains, and a line for each trial."""

    def tried(self, trial: Trial, metric: Metric, over: int, total: int, left_s: float | None) -> None:
        from fewer.report.units import roughly
        from fewer.tune.search.study import in_words

        value = "" if trial.value is None else f", {metric.label} {metric.text(trial.value)}"
        why = f" ({trial.message})" if trial.message else ""
        cost = f", {trial.full_epoch_equivalents:.2f} FEE, {trial.seconds:.1f} s" if trial.seconds else ""
        left = f"; {roughly(left_s)} left" if left_s else ""
        number = f"{over}/{total}  trial {trial.number}"
        self.note(f"{number}, {in_words(trial.values)}: {trial.outcome}{why}{value}{cost}{left}")


def _show(found: Mapping[str, Any], folder: Path) -> None:
    """The best trials as a table, the cost of all of them, and what to do next."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fewer.core.errors import printable
    from fewer.core.text import command
    from fewer.report.metrics import Metrics
    from fewer.runs.folder import RESOLVED
    from fewer.tune.search import page
    from fewer.tune.search.trials import ranked, trial_of

    metric, keys = Metrics(found["task"])[found["metric"]], list(found["space"])
    grid = Table(
        "trial", *(key.rpartition(".")[2] for key in keys), found["metric"], "FEE", "outcome", box=None, pad_edge=False
    )
    trials = ranked(found, metric)
    for trial in trials[:_SHOWN]:
        value = "" if trial["value"] is None else metric.text(trial["value"])
        values = (Text(printable(trial["values"].get(key, ""))) for key in keys)
        grid.add_row(str(trial["number"]), *values, value, f"{trial['full_epoch_equivalents']:.2f}", trial["outcome"])
    Console(highlight=False).print(grid)
    if len(trials) > _SHOWN:
        print(printable(f"the best {_SHOWN} of {len(trials)} trials; all: {folder / 'tune.html'}"))
    print(f"{page.counts(found)}; {page.spent(found)}".replace("\xa0", " "))
    if found["best"] is None:
        print("no trial is done, so there is no best recipe")
        return
    print(page.caution(found))
    best = trial_of(found, found["best"])
    run, trains = folder / best["folder"], f"{command('fewer', 'train', folder / 'best.toml')} trains"
    if (run / RESOLVED).is_file():
        print(printable(f"{command('fewer', 'eval', run)} measures its model on test, {trains}"))
    else:  # a study in a database: each machine has the run folders of its own trials
        where = f"on {best['machine']}, " if best["machine"] else ""
        print(printable(f"trial {best['number']} was trained {where}in another folder than {folder}; {trains}"))
