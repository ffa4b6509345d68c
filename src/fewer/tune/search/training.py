"""Training of one trial: an ordinary run, whose validations are kept in the study and may end it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from fewer.core.errors import PREEMPTED, DivergedError, FewerError, Stopped, printable
from fewer.recipe.schema import Recipe
from fewer.runs.folder import RESOLVED
from fewer.runs.record import publish, writing
from fewer.session.fit import fit, resume
from fewer.session.progress import Display, Silent
from fewer.tune.search.trials import Outcome

if TYPE_CHECKING:
    from fewer.session.build import Session
    from fewer.training.loop import Row

Judge = Callable[[float, float], bool]  # full-epoch equivalents and metric of a validation: whether the trial ends


class Pruned(Stopped):
    """A search has seen enough of a run; `fewer resume` would go on with it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, PREEMPTED)

    @property
    def state(self) -> str:
        return "pruned"


@final
class Watcher:
    """A display that also takes a run's cost, and hands each validation on.

    Args:
        shown: The display of the run.
        metric: Name of the deciding metric.
        unit_flops: One full-epoch equivalent of the search, whatever the trial's own plain epoch is.
        judge: Told of each validation.
    """

    def __init__(self, shown: Display, metric: str, unit_flops: float, judge: Judge) -> None:
        self._shown, self._metric, self._unit_flops, self._judge = shown, metric, unit_flops, judge
        self._session: Session | None = None

    def spent(self) -> dict[str, float]:
        """Full-epoch equivalents and seconds so far; none where training has not begun."""
        if self._session is None:
            return {}
        ledger = self._session.run.ledger
        return _cost(ledger.total("flops"), ledger.shared_flops, ledger.total_seconds, self._unit_flops)

    def decoding(self, done: int, total: int) -> None:
        self._shown.decoding(done, total)

    def note(self, text: str) -> None:
        self._shown.note(text)

    def begin(self, session: Session) -> None:
        self._session = session
        self._shown.begin(session)

    def phase(self, name: str) -> None:
        self._shown.phase(name)

    def row(self, row: Row, session: Session) -> None:
        self._shown.row(row, session)

    def epoch(self, line: Mapping[str, Any], session: Session) -> None:
        self._shown.epoch(line, session)
        value = line.get(f"val_{self._metric}")
        is_last = session.run.cursor.epoch >= session.plan.epochs
        if value is None:
            return
        ends = self._judge(self.spent()["full_epoch_equivalents"], value)
        if ends and not is_last:
            raise Pruned(f"after epoch {line['epoch'] + 1}, as others had reached more at its cost")


def train_trial(
    recipe: Recipe,
    folder: Path,
    metric: str,
    unit_flops: float,
    judge: Judge,
    display: Display | None,
    until: datetime | None,
) -> tuple[Outcome, float | None, dict[str, Any]]:
    """Trains a trial, or goes on with one that was interrupted.

    Args:
        recipe: The trial's.
        folder: Its run folder.
        metric: Name of the deciding metric.
        unit_flops: One full-epoch equivalent of the search.
        judge: Told of each validation; ends the trial.
        display: Where progress is shown.
        until: When the sitting ends.

    Returns:
        What became of it, the metric of its published model, and what else the study keeps.

    Raises:
        Stopped: By a signal, or at the end of the sitting; the trial can go on.
    """
    watcher = Watcher(display or Silent(), metric, unit_flops, judge)
    try:
        if (folder / RESOLVED).is_file():
            result = resume(folder, display=watcher, until=until)
        else:
            result = fit(recipe, folder, display=watcher, until=until)
    except Pruned as stop:
        return "pruned", None, {**watcher.spent(), "message": str(stop)}
    except Stopped:
        raise
    except DivergedError as error:
        return "diverged", None, {**watcher.spent(), "message": printable(str(error))}
    except FewerError as error:
        return "failed", None, {**watcher.spent(), "message": printable(str(error)), "exit_code": error.exit_code}
    except Exception as error:  # a bug: keep its traceback
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        publish(folder.with_name(f"{folder.name}.traceback.txt"), traceback.format_exc())
        said = printable(f"{type(error).__name__}: {error}")
        return "failed", None, {**watcher.spent(), "message": said, "exit_code": 1}
    ledger, key = result["ledger"], f"val/{metric}"
    found = {
        **_cost(ledger["flops"], ledger.get("shared_flops", 0), ledger["seconds"]["total"], unit_flops),
        "epoch": result["best"].get("epoch"),
        "interval": result["intervals"].get(key),
    }
    return "done", result["metrics"][key], found


def _cost(flops: float, shared_flops: float, seconds: float, unit_flops: float) -> dict[str, float]:
    """What the study keeps of a trial's cost."""
    return {
        "full_epoch_equivalents": flops / unit_flops,
        "shared_full_epoch_equivalents": shared_flops / unit_flops,
        "seconds": seconds,
    }
