"""The report of a classifier: its classes, their confusion, and what its worst samples were taken for."""

from __future__ import annotations

from fewer.report.sections.tasks import Part
from fewer.report.sections.tasks.classify.classes import classes
from fewer.report.sections.tasks.classify.worst import verdict

PART = Part(tiles=("top5", "macro_f1"), sections={"Classes": classes}, verdict=verdict)
