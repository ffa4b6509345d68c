"""`fewer launch`: files that start a run on a cluster."""

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from fewer.cli.options import Overrides, RecipeFile, present_recipe

app = typer.Typer(name="launch", no_args_is_help=True, help="Write files that start a run on a cluster.")


@app.callback()
def _subject() -> None:
    return


@app.command()
def slurm(
    recipe: RecipeFile,
    overrides: Overrides = None,
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Machines.")] = 1,
    gpus_per_node: Annotated[
        int, typer.Option("--gpus-per-node", min=0, help="GPUs and processes of each; 0: one process without GPU.")
    ] = 1,
    time: Annotated[
        str,
        typer.Option("--time", metavar="TIME", help="Limit of a sitting: 12:00:00, or 2-00.", show_default=False),
    ] = "",
    partition: Annotated[
        str, typer.Option("--partition", metavar="NAME", help="Where it is queued.", show_default=False)
    ] = "",
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--out",
            help="Run folder, which all machines share; by default runs/NAME, then runs/NAME-2, ...",
            show_default=False,
        ),
    ] = None,
    prints: Annotated[bool, typer.Option("--print", help="Print it, rather than to write NAME.sbatch.")] = False,
) -> int:
    """Write an sbatch file that trains a recipe, saves before the limit, is queued again, and resumes."""
    from fewer.core.errors import RecipeError
    from fewer.core.text import command
    from fewer.sync.sbatch import Job, script

    found, keys = present_recipe(recipe, overrides), list(overrides or [])
    given = out or (Path(found.out.dir) if found.out.dir else None)
    run = _unfinished(given) if given else _free(recipe.stem)
    text = script(Job(nodes, gpus_per_node, time, partition), recipe.stem, str(run), ["train", str(recipe), *keys])
    if prints:
        print(text, end="")
        return 0
    path = Path(f"{recipe.stem}.sbatch")
    if path.exists():
        raise RecipeError(f"{path}: exists; --print prints the file, and a shell can write it anywhere")
    path.write_text(text, encoding="utf-8")
    print(f"{path}: {command('sbatch', path)} queues it", file=sys.stderr)
    return 0


def _unfinished(folder: Path) -> Path:
    """A folder that was asked for: a new one, or that of a run with something left to do.

    Raises:
        RecipeError: Its run is finished, so a job would end without training.
    """
    from fewer.runs.folder import RunFolder

    run = RunFolder(folder)
    if run.result.exists() or run.is_free():
        run.require_new()
    else:
        print(f"{folder} exists, and the job goes on with the run in it", file=sys.stderr)
    return folder


def _free(name: str) -> Path:
    """The folder that `fewer train` would take for a run of this name."""
    from fewer.runs.names import RUNS, free_number, numbered, taken

    asked = RUNS / name
    folder = numbered(asked, free_number(asked))
    if folder != asked:
        print(f"run folder {folder}: {taken(asked)}", file=sys.stderr)
    return folder
