"""A run folder as one self-contained HTML page: a pure function of the folder, free of torch.

`render(run_dir)` gives the page as text; `write(run_dir)` puts it into the folder as `report.html`.
"""

from __future__ import annotations

from pathlib import Path

from fewer.core.errors import RecipeError
from fewer.report.live import Budget, write_plots
from fewer.report.load import FILES, load
from fewer.report.page import page
from fewer.runs.record import publish

__all__ = ["Budget", "render", "write", "write_plots"]


def render(run_dir: Path) -> str:
    """The report of a run as HTML.

    A run that is still going, damaged or empty gives a page that says so.

    Args:
        run_dir: The run folder.

    Returns:
        A complete page: no script, nothing fetched, the same bytes for the same folder.

    Raises:
        RecipeError: There is no such folder.
    """
    if not run_dir.is_dir():
        raise RecipeError(f"{run_dir}: no such run folder; give the folder that `fewer train` wrote")
    return page(load(run_dir))


def write(run_dir: Path) -> Path:
    """Writes `report.html` into the run folder; a reader meanwhile sees the old page or the new one.

    Args:
        run_dir: The run folder.

    Returns:
        The path of the page.

    Raises:
        RecipeError: There is no such folder, or nothing in it was written by a run.
        ResourceError: The folder cannot be written to.
    """
    html = render(run_dir)
    if not any((run_dir / name).exists() for name in FILES):
        files = ", ".join(FILES)
        raise RecipeError(f"{run_dir}: not a run folder (it holds none of {files}); give one that `fewer train` wrote")
    target = run_dir / "report.html"
    publish(target, html)
    return target
