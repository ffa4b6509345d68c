"""The tasks' parts of the report, found by the task's name: each is a file, or a folder, with a `PART`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fewer.core.registry import Registry
from fewer.report.history import History
from fewer.report.load import Folder
from fewer.report.markup import Html

PARTS = Registry("fewer.report.sections.tasks", "part of the report", "fewer.report_parts")


def _nothing(folder: Folder, sample: Mapping[str, Any]) -> tuple[str, Html]:
    return "", Html("")


@dataclass(frozen=True)
class Part:
    """What the report of a run shows of its task.

    Attributes:
        tiles: Metrics at the head of the page, beside the primary one and the loss.
        sections: By title.
        further_groups: What selection groups samples by beside the classes, behind these.
        is_whole: Pictures of samples are whole ones, as annotated beside what the model finds, and not squares.
        verdict: What the model made of one of the worst samples, an entry of `worst_samples`: as text and as HTML.
    """

    tiles: tuple[str, ...] = ()
    sections: Mapping[str, Callable[[Folder, History], Html]] = field(default_factory=dict)
    further_groups: tuple[str, ...] = ()
    is_whole: bool = False
    verdict: Callable[[Folder, Mapping[str, Any]], tuple[str, Html]] = _nothing


def part_of(task: str) -> Part:
    """The part of a task; an empty one where the name, which comes from a file, is that of none."""
    if task not in PARTS.names():
        return Part()
    found: Part = PARTS.module(task).PART
    return found
