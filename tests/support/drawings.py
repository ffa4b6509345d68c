"""Drawings of a run: plots, previews and the report, which take longer than training a small run.

Tests leave them out, except those that look at them: these train inside `drawings(True)`, or start with `report=True`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any


@contextmanager
def drawings(wanted: bool) -> Iterator[None]:
    """Runs in this process make their drawings, or none of them."""
    from fewer import report
    from fewer.session import artifacts, fit_loop
    from fewer.session import resume as resuming

    class Bare(artifacts.Artifacts):
        """Artifacts without plots and previews."""

        def plots(self, last: bool = False) -> None:
            return

        def stage(self, row: Any) -> None:
            return

        def worst(self, data: Any, samples: Any, model: Any) -> list[str]:
            return []

    def unwritten(folder: Path) -> Path:
        return folder / "report.html"

    before = fit_loop.Artifacts, fit_loop.report
    fit_loop.Artifacts = artifacts.Artifacts if wanted else Bare  # type: ignore[misc]
    fit_loop.report = resuming.report = report if wanted else SimpleNamespace(write=unwritten)  # type: ignore[assignment]
    try:
        yield
    finally:
        fit_loop.Artifacts, fit_loop.report = before  # type: ignore[misc]
        resuming.report = before[1]
