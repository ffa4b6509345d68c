"""The rows of a run as curves over epochs, seconds and full-epoch equivalents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fewer.report.load import Folder
from fewer.report.values import mapping, number, sequence, thin, whole

Axis = Literal["epochs", "seconds", "fee"]
AXES: tuple[Axis, ...] = ("epochs", "seconds", "fee")
Line = list[tuple[float, float]]
_DRAWN = 1e100  # of any number in a plot: differences of larger ones overflow


@dataclass(frozen=True, slots=True)
class Mark:
    """A row and where it lies: epochs trained, seconds and FEE spent when it was written."""

    epochs: float
    seconds: float | None
    fee: float | None
    row: Mapping[str, Any]

    def at(self, axis: Axis) -> float | None:
        """The position on one of the three axes."""
        return self.epochs if axis == "epochs" else self.seconds if axis == "seconds" else self.fee


@dataclass
class History:
    """What happened, in order. Rows that a resume took back are left out."""

    epochs_planned: float = 0.0
    steps: list[Mark] = field(default_factory=list)
    epochs: list[Mark] = field(default_factory=list)
    evaluations: list[Mark] = field(default_factory=list)
    resumes: list[Mark] = field(default_factory=list)
    checkpoints: list[Mark] = field(default_factory=list)
    amendments: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def last(self) -> Mark | None:
        """The newest mark that says what the run has cost."""
        marks = [marks[-1] for marks in (self.steps, self.epochs) if marks]
        return max(marks, key=lambda mark: mark.epochs, default=None)

    def evaluated(self, split: str) -> list[Mark]:
        """The evaluations on one split."""
        return [mark for mark in self.evaluations if mark.row.get("split") == split]

    def selected(self) -> bool:
        """Whether any sample was ever left out."""
        return any(_below_one(mark.row.get("kept_share")) for mark in self.epochs) or any(
            (number(mark.row.get("kept")) or 0) < (number(mark.row.get("candidates")) or 0) for mark in self.steps
        )

    def at_epoch(self, border: float, axis: Axis) -> float | None:
        """Where the border after `border` epochs lies on an axis; None if the run never came that far."""
        if axis == "epochs" or border <= 0:
            return max(border, 0.0)
        return next((mark.at(axis) for mark in self.epochs if mark.epochs == border), None)

    def stages(self, plan: Mapping[str, Any], axis: Axis) -> list[tuple[float, float, str]]:
        """Begin, end and label of each stage that the run has reached."""
        found = []
        for stage in map(mapping, sequence(plan.get("stages"))):
            first, length = whole(stage.get("first_epoch")), whole(stage.get("epochs"))
            if first is None or length is None or (begin := self.at_epoch(first, axis)) is None:
                continue
            end = self.at_epoch(first + length, axis)
            here = self.last.at(axis) if self.last else None
            end = here if end is None or (axis == "epochs" and here is not None and here < end) else end
            side = whole(stage.get("side_px"))
            if end is not None and end > begin:
                found.append((begin, end, f"{side} px" if side is not None else ""))
        return found


def line(marks: Iterable[Mark], axis: Axis, value: Callable[[Mapping[str, Any]], object]) -> Line:
    """The points of a curve; marks without position or value, or beyond what can be drawn, are left out."""
    points = ((mark.at(axis), number(value(mark.row))) for mark in marks)
    return [(x, y) for x, y in points if x is not None and y is not None and max(abs(x), abs(y)) < _DRAWN]


def thinned(marks: Sequence[Mark], key: str, limit: int) -> tuple[list[Mark], list[float]]:
    """Few of many steps, by their value under `key`, and that value of all of them."""
    known = [(mark, value) for mark in marks if (value := number(mark.row.get(key))) is not None]
    values = [value for _, value in known]
    return [known[i][0] for i in thin(values, limit)], values


def spread(items: Sequence[Any], limit: int) -> list[Any]:
    """At most `limit` items, evenly spaced, the first and the last among them."""
    if len(items) <= limit:
        return list(items)
    return [items[round(i * (len(items) - 1) / (limit - 1))] for i in range(limit)]


def history(folder: Folder) -> History:
    """Sorts the rows of a run by kind and gives each its position."""
    story = History(epochs_planned=_first_epochs(folder))
    readers = {
        "step": _step, "epoch": _epoch, "evaluation": _evaluation,
        "resume": _resume, "checkpoint": _checkpoint, "amendment": _amendment,
    }  # fmt: skip
    for row in folder.rows:
        reader = readers.get(str(row.get("kind")))
        if reader is not None:
            reader(story, row)
    return story


def _first_epochs(folder: Folder) -> float:
    """The epochs that the run began with: `progress` counts in those until an amendment changes them."""
    for row in folder.rows:
        if row.get("kind") == "amendment" and row.get("key") == "train.epochs":
            return number(row.get("old")) or 0.0
    return number(folder.plan.get("epochs")) or number(folder.result.get("epochs")) or 0.0


def _mark(row: Mapping[str, Any], epochs: float) -> Mark:
    return Mark(epochs, number(row.get("seconds")), number(row.get("fee")), row)


def _step(story: History, row: Mapping[str, Any]) -> None:
    step = number(row.get("step"))
    before = number(story.steps[-1].row.get("step")) if story.steps else None
    if step is not None and before is not None and step < before:
        _rewind(story, step - 1)
    epoch = number(row.get("epoch")) or 0.0
    progress = number(row.get("progress"))
    clock = epoch if progress is None else progress * story.epochs_planned
    story.steps.append(_mark(row, min(max(clock, epoch), epoch + 1)))


def _epoch(story: History, row: Mapping[str, Any]) -> None:
    epoch = number(row.get("epoch"))
    if epoch is not None:
        while story.epochs and story.epochs[-1].epochs > epoch:
            story.epochs.pop()
        story.epochs.append(_mark(row, epoch + 1))


def _evaluation(story: History, row: Mapping[str, Any]) -> None:
    epoch = number(row.get("epoch"))
    if epoch is not None:
        story.evaluations.append(_mark(row, epoch + 1))


def _checkpoint(story: History, row: Mapping[str, Any]) -> None:
    story.checkpoints.append(_mark(row, story.last.epochs if story.last else 0.0))


def _resume(story: History, row: Mapping[str, Any]) -> None:
    step = number(row.get("step"))
    if step is not None:
        _rewind(story, step)
    last = story.last
    place = Mark(last.epochs, last.seconds, last.fee, row) if last else Mark(0.0, 0.0, 0.0, row)
    story.resumes.append(place)


def _amendment(story: History, row: Mapping[str, Any]) -> None:
    story.amendments.append(row)
    if row.get("key") == "train.epochs":
        story.epochs_planned = number(row.get("new")) or story.epochs_planned


def _rewind(story: History, step: float) -> None:
    """Takes back what came after `step`: a run that was killed repeats the steps since its last checkpoint."""
    for marks in (story.steps, story.epochs, story.evaluations, story.checkpoints):
        while marks and (number(marks[-1].row.get("step")) or 0.0) > step:
            marks.pop()


def _below_one(value: object) -> bool:
    share = number(value)
    return share is not None and share < 1
