"""Training runs as the cells of a study: made side by side, gone on with where they were interrupted, kept as lines."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import ROOT, Results

_QUIET = ("out.keep=1", "out.plots=false", "out.previews=false", "evaluate.every=0")
_LEDGER = ("effective_epochs", "full_epoch_equivalents", "samples_forwarded", "flops", "bytes_sent")


@dataclass(frozen=True)
class Cell:
    """A run of a study.

    Attributes:
        study, variant: Their names.
        overrides: What the variant changes in the recipe.
        seed: Of training.
        recipe: The file.
        common: Overrides of all runs of the study.
    """

    study: str
    variant: str
    overrides: tuple[str, ...]
    seed: int
    recipe: Path
    common: tuple[str, ...] = ()

    def line(self) -> dict[str, Any]:
        """What stands in the evidence, and tells a run that is made already."""
        return {
            "study": self.study,
            "variant": self.variant,
            "overrides": list(self.overrides),
            "seed": self.seed,
        }


def make(cells: Sequence[Cell], results: Results, jobs: int) -> None:
    """Makes the runs that are not on record, and keeps a line of each.

    Their folders lie in runs/NAME/ until they are done. With several jobs each has one thread.

    Args:
        cells: The runs, the most telling first.
        results: The evidence so far, which takes the new lines.
        jobs: Runs side by side.
    """
    made = {_key(line) for line in results.lines}
    left = [cell for cell in cells if _key(cell.line()) not in made]
    print(f"{len(left)} runs to make", flush=True)
    if jobs > 1:
        os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryDirectory() if results.smoke else nullcontext(ROOT / "runs" / results.name) as runs,
        ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool,
    ):
        for done in as_completed([pool.submit(_run, cell, Path(runs)) for cell in left]):
            line = done.result()
            results.keep(**line, jobs=jobs)
            print(line["study"], line["variant"], line["seed"], line.get("error", line.get("metrics")), flush=True)


def _key(line: Mapping[str, Any]) -> str:
    return json.dumps([line[key] for key in ("study", "variant", "overrides", "seed")])


def _run(cell: Cell, runs: Path) -> dict[str, Any]:
    """Makes a run in a folder below `runs`, or goes on with one that was interrupted; returns its line."""
    from fewer.machine.memory import keep_freed_memory

    keep_freed_memory()  # as the command line does, before torch is imported
    import fewer
    from fewer.core.errors import Stopped

    name = "".join(c if c.isalnum() or c in ".-" else "_" for c in f"{cell.study}-{cell.variant}-{cell.seed}")
    folder, overrides = runs / name, [*cell.common, *cell.overrides, *_QUIET, f"train.seed={cell.seed}"]
    try:
        if (folder / "recipe.resolved.toml").exists():
            done = fewer.resume(folder, progress=False)
        else:
            done = fewer.fit(fewer.load_recipe(cell.recipe, overrides), folder, progress=False)
    except Stopped:
        raise
    except fewer.FewerError as error:  # a variant that cannot be trained is a result, too
        return {**cell.line(), "error": str(error)}
    ledger = done["ledger"]
    shutil.rmtree(folder)
    return {
        **cell.line(),
        "digest": done["digest"],
        "metrics": {key.removeprefix("test/"): value for key, value in done["metrics"].items()},
        **{key: ledger[key] for key in _LEDGER if key in ledger},
        "seconds": ledger["seconds"],
        "steps": done["steps"],
    }
