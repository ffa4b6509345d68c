"""Predictions as lines of text, as JSON or as CSV, each written at once: their number does not matter."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size

from fewer.core.errors import printable
from fewer.report.contact_sheet import SHOWN_MAX
from fewer.runs.record import inert, writing

if TYPE_CHECKING:
    from fewer.inference.evaluate import LoadedModel
    from fewer.inference.predict import Prediction

_CLASS_COLUMNS = 24  # at most, in a line of text


@dataclass
class Tally:
    """Count of images and of damaged ones, and the first predictions for a contact sheet."""

    images: int = 0
    damaged: int = 0
    shown: list[Prediction] = field(default_factory=list)


def collected(
    predictions: Iterable[Prediction], tally: Tally, keep: bool, show: Callable[[int, int], None]
) -> Iterator[Prediction]:
    """Passes predictions on, counts them, and lists unreadable images on stderr."""
    for prediction in predictions:
        tally.images += 1
        if prediction.fault:
            tally.damaged += 1
            print(printable(f"{prediction.path}: cannot be read: {prediction.fault}"), file=sys.stderr)
        elif keep and len(tally.shown) < SHOWN_MAX:
            tally.shown.append(prediction)
        show(tally.images, 0)
        yield prediction


def write_text(predictions: Iterable[Prediction], classes: Sequence[str]) -> None:
    """One line for each image: class and probability, the runner-up, and the path, which may be long, at the end."""
    names = [printable(name) for name in classes]
    width = min(_CLASS_COLUMNS, max(map(cell_len, names)))
    shown = [set_cell_size(_cut(name, width), width) for name in names]
    for prediction in predictions:
        if not prediction.fault:
            text = "  ".join(f"{shown[index]} {p:6.1%}" for index, p in prediction.top)
            print(f"{text}  {printable(prediction.path)}")


def write_json(predictions: Iterable[Prediction], handed: LoadedModel) -> None:
    """One JSON document, with one line for each image."""
    classes = handed.about.classes
    head = {"schema": 1, "model": str(handed.folder), "side_px": handed.side_px, "classes": classes}
    print(json.dumps(head)[:-1] + ', "predictions": [', end="")
    comma = ""
    for prediction in predictions:
        top = [{"class": classes[index], "probability": p} for index, p in prediction.top]
        entry: dict[str, Any] = {"path": prediction.path}
        entry |= {"error": prediction.fault} if prediction.fault else {**top[0], "top": top}
        print(f"{comma}\n{json.dumps(entry)}", end="")
        comma = ","
    print("\n]}")


def write_csv(predictions: Iterable[Prediction], classes: Sequence[str], top: int, file: IO[bytes], path: Path) -> None:
    """A table: path, class and probability (the runners-up as class_2, probability_2, ...), error.

    A path that a spreadsheet would take for a formula gets `./` in front, and still names the same file; any other such
    text gets an apostrophe.

    Raises:
        ResourceError: The disk is full or cannot be written.
    """
    names = [inert(name, "'") for name in classes]
    pairs = [("class", "probability"), *((f"class_{i}", f"probability_{i}") for i in range(2, top + 1))]
    with writing(path):
        file.write(_line(["path", *(key for pair in pairs for key in pair), "error"]))
    for prediction in predictions:
        cells = [cell for index, p in prediction.top for cell in (names[index], f"{p:.6f}")]
        cells += [""] * (2 * top - len(cells))
        with writing(path):
            file.write(_line([inert(prediction.path, "./"), *cells, inert(prediction.fault, "'")]))


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode(errors="surrogateescape")  # a file name keeps its bytes


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"
