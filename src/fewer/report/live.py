"""`plots/` of a run folder: the curves as PNG files, drawn again while the run goes on."""

from __future__ import annotations

import time
from pathlib import Path

from fewer.report.charts import curve_charts, judged_by, schedule_charts, stacked, star_name
from fewer.report.history import history
from fewer.report.load import load
from fewer.report.metrics import metrics_of
from fewer.report.plots import png
from fewer.report.sections.tasks import part_of
from fewer.report.series import class_charts
from fewer.runs.record import publish, writing

TITLES = {"schedule": "Schedule", "classes": "Selection by class: thick is the mean of the classes"}
SHARE = 0.05  # of a run's seconds that drawing may take
FIRST_SECONDS = 3.0  # assumed of a drawing before the first: matplotlib is imported then


def write_plots(run_dir: Path) -> list[Path]:
    """Draws the plots of a run folder; whoever looks meanwhile sees the old file or the new one.

    Args:
        run_dir: The run folder; only what it holds is drawn.

    Returns:
        The files: `epochs.png`, `seconds.png`, `fee.png`, `schedule.png` and `classes.png`, as far as there is
        anything to draw.

    Raises:
        ResourceError: The folder cannot be written to.
    """
    folder = load(run_dir)
    story = history(folder)
    charts = {chart.key.removeprefix("curves-"): chart for chart in curve_charts(folder, story)}
    schedule = [chart for chart in schedule_charts(folder, story) if chart.key != "speed"]
    if schedule:
        charts["schedule"] = stacked("schedule", schedule)
    if by_class := class_charts(folder, story, part_of(metrics_of(folder.plan).task).further_groups):
        charts["classes"] = stacked("classes", by_class)
    plots = run_dir / "plots"
    if charts:
        with writing(plots):
            plots.mkdir(exist_ok=True)
    curves = f"Loss and {judged_by(folder).label} against"
    titles = {key: f"{curves} {'FEE' if key == 'fee' else key}" for key in charts} | TITLES
    for key, chart in charts.items():
        publish(plots / f"{key}.png", png(chart, titles[key], star_name(folder)))
    return [plots / f"{key}.png" for key in charts]


class Budget:
    """Lets plots be drawn as long as that takes at most `SHARE` of the run's time, by the clock."""

    def __init__(self) -> None:
        self.spent, self.last = 0.0, FIRST_SECONDS

    def allows(self, run_seconds: float) -> bool:
        """Whether another drawing as long as the last fits into a run that has taken so many seconds."""
        return self.spent + self.last <= SHARE * run_seconds

    def draw(self, run_dir: Path) -> None:
        """Draws, and remembers how long it took, also of a drawing that failed."""
        began = time.monotonic()
        try:
            write_plots(run_dir)
        finally:
            self.last = time.monotonic() - began
            self.spent += self.last
