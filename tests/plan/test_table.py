"""The table of a plan's stages."""

from __future__ import annotations

from fewer.plan.compile import compile_plan
from fewer.plan.table import table
from planning import facts, recipe


def test_stages_and_epochs_count_from_one() -> None:
    """As on the report's page and in the names of previews; keys such as `stages.0.side_px` count from 0."""
    stages = [{"epochs": 2, "side_px": 32}, {"epochs": 1, "side_px": 40}]
    header, *rows = table(compile_plan(recipe(stages=stages), facts()))
    assert [row[: header.index("side_px") + 1] for row in rows] == [("1", "1-2", "32"), ("2", "3-3", "40")]
