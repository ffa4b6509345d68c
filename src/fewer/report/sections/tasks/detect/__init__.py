"""The report of detection: average precision class by class, and precision against recall."""

from __future__ import annotations

from fewer.report.sections.tasks import Part
from fewer.report.sections.tasks.detect.classes import classes
from fewer.report.sections.tasks.detect.worst import verdict

PART = Part(
    tiles=("ap50", "ap75"),
    sections={"Classes": classes},
    further_groups=("no objects",),
    is_whole=True,
    verdict=verdict,
)
