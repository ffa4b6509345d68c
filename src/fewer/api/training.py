"""Training from Python: `fit` and `resume`, with progress shown and a folder of their own for every run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from fewer.core.errors import RecipeError, printable
from fewer.recipe.parse import load_recipe
from fewer.recipe.schema import Recipe
from fewer.runs.names import free_number, named, numbered
from fewer.runs.remote.address import is_address

if TYPE_CHECKING:
    from datetime import datetime

    from fewer.core.protocols import Comm, Selector
    from fewer.session.progress import Display

_NAME = "run"  # of a run whose recipe comes from no file


class RunResult(TypedDict, total=False):
    """Result of a run: the content of its `result.json`, and the folder.

    Attributes:
        schema: Version of the format.
        folder: The run folder.
        digest: Hash of all that decides what the run learns, but for its seed.
        seed: The seed.
        epochs: Epochs that were trained.
        steps: Optimizer steps that were taken.
        metrics: `val/*` and `test/*` of the published model, such as `test/top1`; `test/last/*`, `test/raw/*`.
        intervals: Lower and upper bound of metrics that count images, by the number of images.
        best: Epoch, metric and value of the published model.
        ledger: What was spent (docs/ledger.md): `full_epoch_equivalents`, `effective_epochs`, `seconds`, and more.
        predicted: The same entries as the plan had them: a number, or lowest and highest.
        fingerprint: Hash of names, contents and labels of the data.
        quarantined: Damaged images that were left out.
        amendments: What of the plan had to change in the run.
        origin: Of a branch: run and checkpoint that it began with, and what they had cost.
        state: Hash of everything that was trained.
        suspected_labels: Training images whose labels are suspected to be wrong.
        became: What `select.method = "auto"` became, and why; else empty.
        tables: Tables of the evaluations, such as `test/confusion`.
    """

    schema: int
    folder: str
    digest: str
    seed: int
    epochs: int
    steps: int
    metrics: dict[str, float]
    intervals: dict[str, list[float]]
    best: dict[str, Any]
    ledger: dict[str, Any]
    predicted: dict[str, Any]
    fingerprint: str
    quarantined: int
    amendments: dict[str, Any]
    origin: dict[str, Any]
    state: str
    suspected_labels: int
    became: dict[str, Any]
    tables: dict[str, Any]


def fit(
    recipe: Recipe | str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    name: str = "",
    progress: bool = True,
    given: str = "",
    comm: Comm | None = None,
    selector: Selector | None = None,
    display: Display | None = None,
    until: datetime | None = None,
) -> RunResult:
    """Trains a recipe from the start in a new run folder, and shows progress.

    Args:
        recipe: What is asked, or its file.
        out: The run folder, which must be new. Left out: the recipe's `out.dir`; else `runs/NAME`, or `runs/NAME-2`
            where there is a run already.
        name: Name of the run; left out: that of the recipe's file, else `run`.
        progress: Whether a line an epoch, notes and, on a terminal, a live line are shown, on stderr or in a notebook.
        given: The recipe's text as the user wrote it, kept beside the resolved one.
        comm: How processes exchange tensors; one process alone if left out.
        selector: A selector of the caller's own, in place of the recipe's.
        display: Where progress is shown instead.
        until: When the sitting ends, by the local clock: the run is saved and stops, and can be resumed.

    Raises:
        FewerError: Whatever is wrong with recipe, data, disk or training; see `fewer.core.errors`.
    """
    from fewer.session.fit import fit as fitted

    asked = recipe if isinstance(recipe, Recipe) else load_recipe(Path(recipe))
    title = name or (_NAME if isinstance(recipe, Recipe) else Path(recipe).stem)
    given_folder = out or (asked.out.dir if not name else "")
    folder = Path(given_folder) if given_folder else _free(named(title), comm)
    with _shown(progress, comm, display, folder, asked) as shown:
        result = fitted(asked, folder, given=given, comm=comm, selector=selector, display=shown, until=until)
    return _with_folder(result, folder)


def resume(
    path: str | PathLike[str],
    overrides: Sequence[str] = (),
    *,
    progress: bool = True,
    comm: Comm | None = None,
    selector: Selector | None = None,
    display: Display | None = None,
    until: datetime | None = None,
) -> RunResult:
    """Goes on with a run from its newest intact checkpoint, bit for bit as if it had never stopped.

    Args:
        path: The run folder; or its copy, `s3://BUCKET/PREFIX`, which one process fetches into `runs/NAME`.
        overrides: `key=value` texts; few keys may change, such as `train.epochs`.
        progress: As for `fit`.
        comm: As for `fit`.
        selector: As for `fit`.
        display: As for `fit`.
        until: As for `fit`.

    Raises:
        RecipeError: The folder is no run, or another key than those was changed.
        DataError: The data is no longer what the run began with.
        CheckpointError: There are checkpoints, but none is intact.
    """
    from fewer.session.fit import resume as resumed

    if is_address(str(path)):
        from fewer.session.copying import fetched, from_copy

        if comm is not None and comm.world_size > 1:
            raise RecipeError(f"{path}: each process would fetch it; `fewer resume --devices N` fetches it once")
        path, overrides = fetched(str(path), None, _warn), from_copy(str(path), overrides)
    with _shown(progress, comm, display, Path(path)) as shown:
        result = resumed(Path(path), overrides, comm=comm, selector=selector, display=shown, until=until)
    return _with_folder(result, Path(path))


def _warn(text: str) -> None:
    print(printable(text), file=sys.stderr)


def _free(folder: Path, comm: Comm | None) -> Path:
    """The first free folder; with several processes the one that rank 0 finds."""
    number = free_number(folder)
    if comm is not None:
        from fewer.sync.comm import of_rank_0

        number = of_rank_0(comm, number)
    return numbered(folder, number)


@contextmanager
def _shown(
    progress: bool, comm: Comm | None, display: Display | None, folder: Path, recipe: Recipe | None = None
) -> Iterator[Display | None]:
    """The caller's own display, the command line's, or none; a new run's first line says where it goes."""
    if display is not None or not progress:
        yield display
        return
    from fewer.cli.display import announce, shown

    if recipe is not None and not (comm and comm.rank):
        announce(folder, recipe)
    with shown(comm.rank if comm else 0) as live:
        yield live


def _with_folder(result: dict[str, Any], folder: Path) -> RunResult:
    return cast("RunResult", {**result, "folder": str(folder)})
