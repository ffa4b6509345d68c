"""Predictions as lines of text, as JSON or as CSV, each written at once: their number does not matter."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fewer.core.errors import printable
from fewer.runs.record import inert, writing

if TYPE_CHECKING:
    from fewer.core.protocols import PredictionFormat
    from fewer.inference.loaded import LoadedModel
    from fewer.inference.predict import Prediction


@dataclass
class Tally:
    """Count of images and of damaged ones, and the first predictions for a contact sheet."""

    images: int = 0
    damaged: int = 0
    shown: list[Prediction] = field(default_factory=list)


def collected(
    predictions: Iterable[Prediction], tally: Tally, keep: int, show: Callable[[int, int], None]
) -> Iterator[Prediction]:
    """Passes predictions on, counts them, and lists unreadable images on stderr."""
    for prediction in predictions:
        tally.images += 1
        if prediction.fault:
            tally.damaged += 1
            print(printable(f"{prediction.path}: cannot be read: {prediction.fault}"), file=sys.stderr)
        elif len(tally.shown) < keep:
            tally.shown.append(prediction)
        show(tally.images, 0)
        yield prediction


def write_text(predictions: Iterable[Prediction], format: PredictionFormat) -> None:
    """One line for each image: the answer, and the path, which may be long, at the end."""
    for prediction in predictions:
        if not prediction.fault:
            print(f"{format.text(prediction.answer)}  {printable(prediction.path)}")


def write_json(predictions: Iterable[Prediction], format: PredictionFormat, handed: LoadedModel) -> None:
    """One JSON document, with one line for each image."""
    classes = handed.about.classes
    head = {"schema": 1, "model": str(handed.folder), "side_px": handed.side_px, "classes": classes}
    print(json.dumps(head)[:-1] + ', "predictions": [', end="")
    comma = ""
    for prediction in predictions:
        answer = {"error": prediction.fault} if prediction.fault else format.json(prediction.answer)
        print(f"{comma}\n{json.dumps({'path': prediction.path, **answer, **prediction.files})}", end="")
        comma = ","
    print("\n]}")


def write_csv(
    predictions: Iterable[Prediction], format: PredictionFormat, file: IO[bytes], path: Path, files: Sequence[str] = ()
) -> None:
    """A table: path, the task's columns, the paths of what was written of the image (`files`), error.

    A path that a spreadsheet would take for a formula gets `./` in front, and still names the same file; any other such
    text gets an apostrophe.

    Raises:
        ResourceError: The disk is full or cannot be written.
    """
    with writing(path):
        file.write(_line(["path", *format.columns, *files, "error"]))
    for prediction in predictions:
        cells = [""] * len(format.columns) if prediction.fault else format.cells(prediction.answer)
        texts = [inert(text, "'") for text in (*cells, prediction.fault)]
        texts[-1:-1] = [inert(prediction.files.get(key, ""), "./") for key in files]
        with writing(path):
            file.write(_line([inert(prediction.path, "./"), *texts]))


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode(errors="surrogateescape")  # a file name keeps its bytes
