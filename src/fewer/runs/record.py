"""The record of a run: one JSON document a line, appended by rank 0; a torn last line is no line."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TextIO, final

from fewer.core.errors import ResourceError
from fewer.core.evaluation import Metric

SCHEMA = 1
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what makes a spreadsheet compute a cell


@final
class Recorder:
    """Appends rows to `rows.jsonl`; a new file begins with a header.

    Args:
        path: The file; what it holds already stays.

    Raises:
        ResourceError: The disk is full or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with writing(path):
            fresh = not path.exists() or path.stat().st_size == 0
            self._file: TextIO = path.open("a", encoding="utf-8")
        if fresh:
            self.write({"kind": "header", "schema": SCHEMA})

    def write(self, row: dict[str, Any]) -> None:
        # One write a line and no buffer left behind: what was recorded survives a kill.
        with writing(self._path):
            self._file.write(_line(row) + "\n")
            self._file.flush()

    def close(self) -> None:
        with writing(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All whole rows of a record; damaged lines are left out, a missing file has none."""
    rows = []
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                if isinstance(row, dict):
                    rows.append(row)
    except OSError:
        return []
    return rows


def rewind(path: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Drops the rows that `keep` refuses, so that a resumed run does not record a step twice."""
    rows = [row for row in read_rows(path) if keep(row)]
    publish(path, "".join(map(row_line, rows)))


def publish(path: Path, content: str | bytes) -> None:
    """Writes a whole file so that a reader, or a crash, finds either the old one or the new one.

    Raises:
        ResourceError: The disk is full or cannot be written; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            write_flushed(temporary, content.encode() if isinstance(content, str) else content)
            os.replace(temporary, path)
        finally:
            _drop(temporary)


@contextmanager
def publishing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to bit by bit; it gets its name when all of it is on the disk, and never if something fails.

    Raises:
        ResourceError: The disk is full or cannot be written; an old file under this name is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with writing(path):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            file = temporary.open("wb")
        with file:
            yield file
            with writing(path):
                file.flush()
                os.fsync(file.fileno())
        with writing(path):
            os.replace(temporary, path)
    finally:
        _drop(temporary)


def _drop(temporary: Path) -> None:
    """Removes what a failure has left; its reason counts, and a disk that cannot be written to has no such file."""
    with suppress(OSError):
        temporary.unlink()


def sweep(folder: Path) -> None:
    """Removes what killed processes left half-written; for a folder that only the caller writes."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def write_flushed(path: Path, data: bytes) -> None:
    """Writes a file, and returns when it is on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a disk's complaints into `ResourceError`."""
    try:
        yield
    except FileNotFoundError as error:
        if path.parent.exists():
            raise ResourceError(f"{path}: cannot be written: {error.strerror}; check the disk") from error
        raise ResourceError(f"{path}: there is no folder {path.parent}; make it, or give another path") from error
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be written: {error.strerror or error}; free some space or mend the rights"
        ) from error


def read_json(path: Path) -> Any:
    """Reads a JSON document; raises OSError or ValueError."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_object(path: Path) -> dict[str, Any]:
    """Reads a JSON document that is an object; raises OSError, or ValueError where it is anything else."""
    try:
        content = read_json(path)
    except RecursionError as error:
        raise ValueError(str(error)) from None
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    return content


def row_line(row: Mapping[str, Any]) -> str:
    """A row as a line of the record."""
    return _line(row) + "\n"


def _line(row: Any) -> str:
    return json.dumps(_strict(row), separators=(",", ":"), allow_nan=False)


def _strict(value: Any) -> Any:
    """JSON knows no NaN and no infinity: they become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    return [_strict(item) for item in value] if isinstance(value, (list, tuple)) else value


def write_json(path: Path, content: Any) -> None:
    """Publishes an indented JSON document."""
    publish(path, json.dumps(_strict(content), indent=1, allow_nan=False) + "\n")


def write_csv(
    path: Path, rows: Iterable[dict[str, Any]], step_metrics: Sequence[Metric], validated: Sequence[Metric]
) -> None:
    """Publishes `metrics.csv`: one line an epoch, validation beside it.

    Args:
        path: The file.
        rows: The run's rows of epochs and evaluations.
        step_metrics: The task's metrics of training, a column each.
        validated: The metrics of validation, likewise.
    """
    lines: dict[int, dict[str, Any]] = {}
    for row in rows:
        if row["kind"] == "epoch":
            lines.setdefault(row["epoch"], {}).update(row)
        elif row["kind"] == "evaluation" and row["split"] == "val":
            scalars = {f"val_{name}": value for name, value in row["scalars"].items()}
            lines.setdefault(row["epoch"], {}).update(scalars)
    trained, spent = ("lr", "momentum", "kept_share"), ("effective_epochs", "fee", "seconds", "images_per_second")
    measured = ("loss", *(metric.name for metric in step_metrics), *(f"val_{metric.name}" for metric in validated))
    write_table(path, ("epoch", "step", *measured, *trained, *spent), (lines[epoch] for epoch in sorted(lines)))


def inert(text: str, guard: str) -> str:
    """A text for a CSV file, with `guard` in front where a spreadsheet would take it for a formula."""
    return guard + text if text.lstrip(" ").startswith(_FORMULA) else text


def write_table(path: Path, columns: Sequence[str], lines: Iterable[dict[str, Any]]) -> None:
    """Publishes a CSV file; keys that are no column are left out."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(lines)
    publish(path, text.getvalue().encode(errors="surrogateescape"))  # a file name keeps its bytes
