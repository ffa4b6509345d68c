"""Artifacts of a run for people: plots, previews, the TensorBoard mirror. None of them may spoil a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from fewer import report
from fewer.core.evaluation import WorstSample
from fewer.core.suspicion import Suspicion
from fewer.data.images import ImageData
from fewer.runs.folder import RunFolder
from fewer.runs.record import read_rows
from fewer.session import previews
from fewer.session.build import Session
from fewer.session.dense_suspects import write_suspicions
from fewer.session.tensorboard import TensorBoardWriter
from fewer.session.watched import Watched
from fewer.session.watched_pictures import WatchedPictures
from fewer.session.whole_pictures import pairs
from fewer.training.loop import Row

if TYPE_CHECKING:
    from torch import nn


class Artifacts:
    """Keeps what `[out]` asks for up to date; what fails once is noted, and not tried again.

    Args:
        session: The run; it is looked at and stays as it is, its seconds aside.
        folder: Where to; only the process that writes the folder shows anything.
        note: Where a failure is noted.
    """

    def __init__(self, session: Session, folder: RunFolder, note: Callable[[str], None]) -> None:
        out = session.plan.recipe.out
        self.session, self.folder, self.note = session, folder, note
        asked = {"plots": out.plots, "previews": out.previews, "TensorBoard mirror": out.tensorboard}
        self.shown = {name for name, wanted in asked.items() if wanted and folder.writes}
        self.budget = report.Budget()
        self.mirror: TensorBoardWriter | None = None
        self.watched: Watched | WatchedPictures | None = None

    def open(self) -> None:
        """Begins the mirror with what the run has recorded so far."""
        if "TensorBoard mirror" in self.shown:
            with self._harmless("TensorBoard mirror"):
                rows, seconds = read_rows(self.folder.rows), self.session.run.ledger.total_seconds
                metrics = self.session.task.step_metrics
                self.mirror = TensorBoardWriter(self.folder.path / "tensorboard", rows, seconds, metrics)

    def record(self, row: dict[str, Any]) -> None:
        """Shows what is recorded."""
        if self.mirror and "TensorBoard mirror" in self.shown:
            with self._harmless("TensorBoard mirror"):
                self.mirror.add(row)

    def stage(self, row: Row) -> None:
        """Shows the training images of a stage once its side has been decoded: behind its first batch."""
        stage = self.session.plan.stage(row.epoch)
        if "previews" in self.shown and (row.epoch, row.batch) == (stage.first_epoch, 0):
            with self._harmless("previews"):
                folder, plan = self.folder.path / "previews", self.session.plan
                previews.write_stage(self.session.train_data, stage, folder, plan.first_mix)

    def watch(self, model: nn.Module, side_px: int) -> None:
        """Shows what the model of the moment makes of a few validation images, always the same."""
        data, run = self.session.val_data, self.session.run
        if "previews" in self.shown and data:
            with self._harmless("previews"), run.ledger.phase("evaluate"):
                if self.watched is None:
                    kind = Watched if data.frame(side_px) is None else WatchedPictures
                    self.watched = kind(data, self.session.task, self.folder.path / "previews")
                self.watched.look(model, side_px, run.cursor.epoch)

    def worst(self, data: ImageData, samples: list[WorstSample], model: nn.Module) -> list[str]:
        """Paths of the worst samples' pictures within the folder; whole ones show what the model finds in them."""
        return self._pictures(data, samples, "worst", model)

    def suspects(self, samples: list[WorstSample], model: nn.Module) -> list[str]:
        """Paths of the pictures, within the folder, of training images whose labels look wrong."""
        return self._pictures(self.session.train_data, samples, "suspects", model)

    def suspicions(self, found: Sequence[Suspicion], model: nn.Module) -> list[str]:
        """Paths of pictures, within the folder, of boxes and masks that look wrong."""
        names: list[str] = []
        if "previews" in self.shown:
            with self._harmless("previews"):
                names = write_suspicions(self.session, model, self.folder.path / "previews" / "suspects", found)
        return [f"previews/suspects/{file}" for file in names]

    def _pictures(self, data: ImageData, samples: list[WorstSample], name: str, model: nn.Module) -> list[str]:
        names: list[str] = []
        if "previews" in self.shown:
            with self._harmless("previews"):
                side_px = self.session.plan.evaluation_side_px
                drawn = partial(pairs, data=data, task=self.session.task, model=model, side_px=side_px)
                names = previews.write_worst(data, samples, side_px, self.folder.path / "previews" / name, drawn)
        return [f"previews/{name}/{file}" for file in names]

    def plots(self, last: bool = False) -> None:
        """Draws the plots again: as often as that is cheap beside training, and in the end."""
        if "plots" in self.shown and (last or self.budget.allows(self.session.run.ledger.total_seconds)):
            with self._harmless("plots"):
                self.budget.draw(self.folder.path)

    def close(self) -> None:
        """Ends the mirror; plots and previews are whole files at any time."""
        mirror, self.mirror = self.mirror, None
        if mirror:
            with self._harmless("TensorBoard mirror"):
                mirror.close()

    @contextmanager
    def _harmless(self, name: str) -> Iterator[None]:
        with self.session.run.ledger.phase("other"):
            try:
                yield
            except Exception as error:
                if name in self.shown:
                    self.note(f"no more {name}: {type(error).__name__}: {error}")
                self.shown.discard(name)
