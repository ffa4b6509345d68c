"""The report of segmentation: IoU class by class, and which classes' pixels are taken for which."""

from __future__ import annotations

from fewer.report.sections.tasks import Part
from fewer.report.sections.tasks.segment.classes import classes
from fewer.report.sections.tasks.segment.worst import verdict

PART = Part(tiles=("pixel_accuracy", "mean_accuracy"), sections={"Classes": classes}, is_whole=True, verdict=verdict)
