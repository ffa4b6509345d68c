"""Pandas table of many run folders."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fewer.core.errors import FewerError, RecipeError
from fewer.recipe.schema import flat
from fewer.report.load import document
from fewer.report.overview import run_folders
from fewer.report.values import mapping
from fewer.runs.folder import RESOLVED
from fewer.select import METHODS

if TYPE_CHECKING:
    import pandas

_BULKY = {"stages", "ranks"}  # parts of a ledger that are tables of their own


def load_runs(folder: str | os.PathLike[str], per: Literal["run", "epoch", "step"] = "run") -> pandas.DataFrame:
    """Every run below a folder as one pandas table.

    A run is any folder that `fewer train` or `fewer compare` wrote, at any depth; unfinished and failed ones, too.

    Args:
        folder: The folder, such as `runs` or that of a comparison.
        per: The meaning of a line: a run, an epoch (the columns of `metrics.csv`), or a step (those of `rows.jsonl`).

    Returns:
        Columns `run` (path below the folder), `digest`, `seed`, `status`, one for every recipe key in which runs
        differ (`select.threshold`), and, per run, its metrics (`test/top1`), the ledger's entries
        (`full_epoch_equivalents`), `seconds` in all and by phase (`seconds.train`).

    Raises:
        RecipeError: There is no such folder, or no run below it, or `per` is none of the three.
        FewerError: pandas is not installed.
    """
    pandas = _pandas()
    if per != "run" and per not in _TABLES:
        raise RecipeError(f'per = "{per}": a line is a "run", an "epoch" or a "step"; give one of the three')
    root = Path(folder)
    if not root.is_dir():
        raise RecipeError(f"{root}: no such folder; give one that holds run folders, such as runs")
    paths = list(run_folders(root))
    if not paths:
        raise RecipeError(f"{root}: holds no run folder; give the folder that `fewer train` or `fewer compare` wrote")
    heads = _heads(root, paths)
    if per == "run":
        return pandas.DataFrame([{**head, **_outcome(path)} for head, path in zip(heads, paths, strict=True)])
    read = _TABLES[per]
    tables = [read(pandas, path).assign(**head) for head, path in zip(heads, paths, strict=True)]
    table = pandas.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
    first = list(heads[0])
    return table[[*first, *(name for name in table.columns if name not in first)]]


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise FewerError("load_runs needs pandas, which is not installed: pip install pandas") from error
    return pandas


def _heads(root: Path, paths: list[Path]) -> list[dict[str, Any]]:
    """Columns that identify the runs: name, digest, seed, status, and the keys of their recipes that differ."""
    recipes = [_recipe(path) for path in paths]
    keys = sorted({key for recipe in recipes for key in recipe} - {"train.seed", "out.dir"})
    varied = [key for key in keys if _differs(key, recipes)]
    return [
        {
            "run": path.relative_to(root).as_posix(),
            "digest": document(path / "plan.json").get("digest"),
            "seed": recipe.get("train.seed"),
            "status": document(path / "status.json").get("state", "unfinished"),
            **{key: recipe.get(key) for key in varied},
        }
        for path, recipe in zip(paths, recipes, strict=True)
    ]


def _differs(key: str, recipes: list[dict[str, Any]]) -> bool:
    """Whether runs whose method and model have a key differ in it; its absence elsewhere is no difference."""
    kinds = {_kind(recipe) for recipe in recipes if key in recipe}
    return len({repr(recipe.get(key)) for recipe in recipes if _kind(recipe) in kinds}) > 1


def _kind(recipe: Mapping[str, Any]) -> tuple[object, object]:
    return recipe.get("select.method"), recipe.get("model.name")


def _recipe(path: Path) -> dict[str, Any]:
    """A run's recipe as one level of keys; a method has today's name."""
    try:
        recipe = flat(tomllib.loads((path / RESOLVED).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
    method = recipe.get("select.method")
    return {**recipe, "select.method": METHODS.canonical(method)} if isinstance(method, str) else recipe


def _outcome(path: Path) -> dict[str, Any]:
    """Metrics and ledger of a finished run; nothing of another."""
    result = document(path / "result.json")
    ledger = {key: value for key, value in mapping(result.get("ledger")).items() if key not in _BULKY}
    seconds: Mapping[str, Any] = mapping(ledger.pop("seconds", None))
    phases = {f"seconds.{phase}": value for phase, value in seconds.items() if phase != "total"}
    return {**mapping(result.get("metrics")), **ledger, "seconds": seconds.get("total"), **phases}


def _epochs(pandas: Any, path: Path) -> Any:
    file = path / "metrics.csv"
    return pandas.read_csv(file) if file.is_file() else pandas.DataFrame()


def _steps(pandas: Any, path: Path) -> Any:
    from fewer.runs.record import read_rows

    rows = [row for row in read_rows(path / "rows.jsonl") if row.get("kind") == "step"]
    return pandas.DataFrame(rows).drop(columns="kind", errors="ignore")


_TABLES = {"epoch": _epochs, "step": _steps}  # of a run, by the meaning of a line
