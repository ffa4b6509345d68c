"""The selection class by class, over the epochs."""

from __future__ import annotations

from fewer.report.history import History
from fewer.report.load import Folder
from fewer.report.markup import Html, esc, section
from fewer.report.metrics import metrics_of
from fewer.report.sections.curves import figures
from fewer.report.sections.tasks import part_of
from fewer.report.series import class_charts


def over_classes(folder: Folder, story: History) -> Html:
    """Kept share, difficulty and a method's own numbers of every class, over the epochs."""
    charts = class_charts(folder, story, part_of(metrics_of(folder.plan).task).further_groups)
    if not charts:
        return Html("")
    lead = "A line a class, the thick one their mean; the classes that end highest and lowest are named."
    return section("Selection by class", esc(lead), figures(charts), "by-class")
