"""A run folder, read with patience: whatever is missing or damaged becomes a note, never an error."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewer.report.values import number, thin

FILES = ("plan.json", "rows.jsonl", "status.json", "result.json", "recipe.resolved.toml", "recipe.given.toml")
RECIPE_LIMIT = 100_000  # characters of a recipe that are shown
STEPS = 40_000  # rows of single steps that are kept; a plot shows some hundreds
_STEP = b'{"kind":"step",'
JSON_LIMIT = 256_000_000  # bytes; a larger document is not read: it would take minutes and most of the memory


@dataclass(frozen=True)
class Folder:
    """What a run folder says.

    Attributes:
        path: The folder.
        name: Name of the folder.
        plan: plan.json, empty if there is none; so are the other mappings.
        rows: The rows of rows.jsonl in their order.
        recipes: Title and text of each recipe that is there.
        problems: One sentence for each file that could not be read.
    """

    path: Path
    name: str
    plan: Mapping[str, Any]
    env: Mapping[str, Any]
    status: Mapping[str, Any]
    result: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    recipes: Sequence[tuple[str, str]]
    problems: Sequence[str]


def load(run_dir: Path) -> Folder:
    """Reads a run folder.

    Args:
        run_dir: An existing folder.
    """
    problems: list[str] = []
    return Folder(
        path=run_dir,
        name=run_dir.resolve().name or str(run_dir),
        plan=document(run_dir / "plan.json", problems),
        env=document(run_dir / "env.json", problems),
        status=document(run_dir / "status.json", problems),
        result=document(run_dir / "result.json", problems),
        rows=_rows(run_dir / "rows.jsonl", problems),
        recipes=_recipes(run_dir, problems),
        problems=problems,
    )


def document(path: Path, problems: list[str] | None = None) -> Mapping[str, Any]:
    """A JSON object; an empty one where there is none, and where it cannot be read, which is then a problem."""
    problems = [] if problems is None else problems
    if not path.exists():
        return {}
    try:
        if path.stat().st_size > JSON_LIMIT:
            problems.append(f"{path.name} is larger than {JSON_LIMIT // 1_000_000} MB and was not read.")
            return {}
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.name} could not be read: {_reason(error)}.")
        return {}
    if isinstance(value, dict):
        return value
    problems.append(f"{path.name} could not be read: it holds no JSON object.")
    return {}


def _rows(path: Path, problems: list[str]) -> Sequence[Mapping[str, Any]]:
    """The rows, of a long run not every step: memory and time to read and draw stay bounded."""
    rows, lost = Rows(), 0
    try:
        with path.open("rb") as file:
            steps = sum(line.startswith(_STEP) for line in file)
            file.seek(0)
            for line in _outstanding(file, math.ceil(2 * steps / STEPS)):
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    row = None
                if isinstance(row, dict):
                    rows.add(row)
                elif line.endswith(b"\n"):  # a last line without its end is still being written
                    lost += 1
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(f"rows.jsonl could not be read: {_reason(error)}.")
        return []
    if lost:
        problems.append(f"{lost:,} damaged {'line' if lost == 1 else 'lines'} of rows.jsonl left out.")
    return rows.kept


def _outstanding(lines: Iterable[bytes], size: int) -> Iterator[bytes]:
    """All lines but those of steps; of every `size` steps in a row those of lowest and highest loss.

    To parse all of a million lines would take some ten times as long as to look for one number in each.
    """
    steps: list[bytes] = []
    for line in lines:
        whole = line.startswith(_STEP) and line.endswith(b"}\n")
        if whole:
            steps.append(line)
        if steps and (len(steps) >= size or not whole):
            yield from (steps[i] for i in thin([_loss(step) for step in steps], 2))
            steps = []
        if not whole:
            yield line
    yield from (steps[i] for i in thin([_loss(step) for step in steps], 2))


def _loss(line: bytes) -> float:
    """The loss in a step's line, 0 where there is none."""
    _, _, rest = line.partition(b'"loss":')
    try:
        return float(rest[: rest.index(b",")])
    except ValueError:
        return 0.0


class Rows:
    """Rows in their order; of every four steps in a row only those of lowest and highest loss, once there are many."""

    def __init__(self, limit: int = STEPS) -> None:
        self.kept: list[Mapping[str, Any]] = []
        self._steps, self._limit = 0, limit

    def add(self, row: Mapping[str, Any]) -> None:
        self.kept.append(row)
        self._steps += row.get("kind") == "step"
        if self._steps > self._limit:
            self._halve()

    def _halve(self) -> None:
        rows: list[Mapping[str, Any]] = []
        steps: list[Mapping[str, Any]] = []
        for row in (*self.kept, {}):
            if row.get("kind") == "step":
                steps.append(row)
            if steps and (len(steps) == 4 or row is not steps[-1]):
                losses = [number(step.get("loss")) or 0.0 for step in steps]
                rows += [steps[i] for i in thin(losses, 2)]
                steps = []
            if row.get("kind") != "step" and row:
                rows.append(row)
        self.kept = rows
        self._steps = sum(row.get("kind") == "step" for row in rows)
        # Steps between many other rows cannot be thinned: the next attempt waits for as many again.
        if self._steps > 0.75 * self._limit:
            self._limit = 2 * self._steps


def _recipes(run_dir: Path, problems: list[str]) -> Sequence[tuple[str, str]]:
    found = []
    for title, name in (("As given", "recipe.given.toml"), ("Resolved, every key", "recipe.resolved.toml")):
        path = run_dir / name
        if not path.exists():
            continue
        try:
            with path.open("rb") as file:
                found.append((f"{title} · {name}", file.read(RECIPE_LIMIT).decode("utf-8", "replace")))
        except OSError as error:
            problems.append(f"{name} could not be read: {_reason(error)}.")
    return found


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(reason).splitlines()[0][:300].rstrip(".")
