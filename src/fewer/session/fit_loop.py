"""The standard body of the training loop: evaluate, checkpoint, stop on request, and keep the run folder."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fewer import report
from fewer.core.errors import FewerError, Stopped, printable
from fewer.core.text import command
from fewer.machine import environment
from fewer.machine.determinism import named_operations
from fewer.machine.memory import device_memory_bytes
from fewer.plan.document import plan_json
from fewer.plan.plan import Plan
from fewer.recipe.schema import Recipe
from fewer.runs import checkpoint
from fewer.runs.folder import RESOLVED, RunFolder
from fewer.runs.record import Recorder, read_object, write_csv, writing
from fewer.session import signals
from fewer.session.amendments import Amendments, place
from fewer.session.artifacts import Artifacts
from fewer.session.build import Session
from fewer.session.checkpoint_times import CheckpointTimes
from fewer.session.closing import closing
from fewer.session.epoch_metrics import EpochSums, costs, in_words, layer_stats, validation_metrics
from fewer.session.evaluation import Evaluator
from fewer.session.health import Health
from fewer.session.lr_finder import find_lr, found_in_toml
from fewer.session.progress import Display, opening
from fewer.session.proxy_choices import choose_by_proxy
from fewer.session.rank_speeds import RankSpeeds
from fewer.session.reference_losses import compute_reference_losses
from fewer.session.restore import restore_rows, restore_state
from fewer.session.selection_stats import became, complaints, in_toml, selection_stats
from fewer.training import steering
from fewer.training.loop import Row, train

if TYPE_CHECKING:
    from fewer.runs.remote.copies import Copies

# What comes before training, what a run that is stopped there does not know yet, and what it does once it is resumed.
_PREPARATIONS = (
    (find_lr, "the learning rate was found", "looks for it again"),
    (compute_reference_losses, "the reference losses were complete", "computes them again"),
    (choose_by_proxy, "the proxy had chosen the images", "lets it choose again"),
)


class FitLoop:
    """One process's way through a run, from wherever its checkpoint stands."""

    recorder: Recorder | None = None
    copies: Copies | None = None
    is_hurried = False  # a second Ctrl-C wants all of it to end at once
    last_note = ""  # the selector's newest note

    def __init__(self, session: Session, folder: RunFolder, display: Display, stop: signals.Stop) -> None:
        self.session, self.folder, self.display, self.stop = session, folder, display, stop
        self.comm = session.run.comm
        self.checkpoint_times = CheckpointTimes(self.comm)
        self.epoch = EpochSums(session)
        self.artifacts = Artifacts(session, folder, self._note)
        self.evaluator = Evaluator(session, folder, display, self.artifacts, self._record, self._note)
        self.head: list[dict[str, Any]] = []  # rows that a resumed run begins with
        self.lines: list[dict[str, Any]] = []  # epochs and evaluations so far, for metrics.csv
        self.warned: set[str] = set()  # kinds of warnings that have been given
        self.amendments = Amendments(session, self._record, self._note)
        if session.loader:
            session.loader.note.listen(self._note)
        for split, image in session.damaged:
            self._note(f"quarantined {split} image {image.name}: {image.reason}")

    # --- Resuming ---------------------------------------------------------------------------------------------

    def restore(self, before: Recipe, notes: Sequence[str] = ()) -> None:
        """Loads the newest intact checkpoint; a run that was killed before its first one starts again.

        Args:
            before: The run's recipe so far.
            notes: What is to be said first.
        """
        run = self.session.run
        for text in notes:
            self._note(text)
        if restore_state(run, self.folder, self._note, before.epochs):
            self.amendments.restored()
            self.epoch = EpochSums(self.session)
        self.evaluator.recover_best()
        for row in restore_rows(run, self.folder.rows) if self.folder.writes else ():
            if row.get("kind") in ("epoch", "evaluation"):
                self.lines.append(row)
            if row.get("kind") == "step" and row.get("epoch") == run.cursor.epoch:
                self.epoch.restore(row)
        here = _environment(self.session.plan)
        try:
            changes = environment.changes(read_object(self.folder.path / "env.json"), here)
        except (OSError, ValueError):
            changes = ["env.json cannot be read"]
        if changes:
            self._note("no longer bit-identical to an unstopped run: " + "; ".join(changes))
        self._announce(before.epochs, exact=not changes)

    def _announce(self, epochs_before: int, exact: bool) -> None:
        """Prepares the rows that say that, and how, the run was resumed."""
        run = self.session.run
        where = place(run)
        self.head.append({"kind": "resume", **where, "exact": exact})
        if epochs_before != run.plan.recipe.epochs:
            change = {"key": "train.epochs", "old": epochs_before, "new": run.plan.recipe.epochs}
            self.head.append({"kind": "amendment", **change, **where})

    # --- Training ---------------------------------------------------------------------------------------------

    def drive(self) -> dict[str, Any]:
        """Trains to the end; whatever happens, `status.json` says so."""
        try:
            with named_operations():
                return self._train()
        except FewerError as error:
            state = error.state if isinstance(error, Stopped) else "failed"
            self.folder.status(state, message=str(error), exit_code=error.exit_code, **self._where())
            raise
        except KeyboardInterrupt:  # the second Ctrl-C, or one that came when nothing was left to be saved
            self.is_hurried = True
            stop = Stopped.by(signal.SIGINT, f"at once; {self._resume} goes on from the last checkpoint")
            self.folder.status(stop.state, message=str(stop), exit_code=stop.exit_code, **self._where())
            raise stop from None
        except BaseException as error:
            self.folder.status("failed", message=f"{type(error).__name__}: {error}", exit_code=1, **self._where())
            raise
        finally:
            self.session.close()
            self.artifacts.close()
            self._end_record(with_report=not self.is_hurried)

    def _train(self) -> dict[str, Any]:
        session, run = self.session, self.session.run
        self._open()
        self._prepare()
        self.display.begin(session)
        self.epoch.begin()
        self.speeds, self.health = RankSpeeds(run.ledger), Health(session)
        steering.begin(run, run.ledger.total_seconds)
        for row in train(session.task, session.train_data, run):
            self._after(row)
        return self._finish()

    def _open(self) -> None:
        """Begins the record, and says what is trained."""
        session = self.session
        self._write_head()
        self._log(opening(self.folder.path, session.plan.recipe, session.plan.facts.machine.device))
        self.artifacts.open()
        self.recorder = Recorder(self.folder.rows) if self.folder.writes else None
        for line in self.head:
            self._record(line)
        for text in () if self.head else session.plan.notes:  # a resumed run has shown them before
            self._note(text)
        self.stop.run, self.stop.answer = session.run, self._answer

    def _prepare(self) -> None:
        """Finds out what training needs to know beforehand."""
        for found, what, again in _PREPARATIONS:
            if not found(self.session, self._note, self._record):
                raise self.stop.stopped(f"before {what}; {self._resume} {again}")
            if found is find_lr:
                self._write_found()

    def _after(self, row: Row) -> None:
        """All that follows a batch: the record, an evaluation, a checkpoint, the end of a run that is stopped."""
        session, run = self.session, self.session.run
        session.book_decoding()
        run.ledger.saw_device_memory(device_memory_bytes(session.plan.facts.machine.device))
        self.amendments.after_batch()
        if self.copies:
            session.copy_lag = self.copies.report(self._note)
        self._record({"kind": "step", **row.recorded(), **costs(run.ledger)})
        if excluded := row.sync.get("sync_excluded"):
            workers = f"{excluded:g} of {run.sync.workers} workers"
            self._note(f"warning: {workers} were not finite behind step {row.step} and were left out of the sync")
        self.epoch.add(row)
        self.display.row(row, session)
        self.artifacts.stage(row)
        if row.epoch_end:
            self._end_epoch(row)
        is_done = run.cursor.epoch == run.plan.epochs
        if self.checkpoint_times.is_due(row, session.plan) or row.stop or self.evaluator.is_new_best or is_done:
            self._save()
        if row.stop and not is_done:
            where = f"in epoch {run.cursor.epoch + 1}, step {run.cursor.step}"
            raise self.stop.stopped(f"and saved {where}; {self._resume} goes on")

    def _finish(self) -> dict[str, Any]:
        """The last evaluation; returns what becomes `result.json`."""
        if self.comm.world_size == 1:  # others would wait for this process's share of the evaluations
            self.stop.run = None
            self.stop.where = f"behind the last epoch, which is saved; {self._resume} evaluates it"
        result = self.evaluator.finish()
        for text in closing(result, self.lines, self.session):
            self._log(text)
        self.folder.status("done", **self._where())
        return result

    @property
    def _resume(self) -> str:
        """The command that goes on with this run."""
        return command("fewer", "resume", self.folder.path)

    def _note(self, text: str) -> None:
        """Shows a line and keeps it in `log.txt`; file names in it may hold anything."""
        text = printable(text)
        self.display.note(text)
        self._log(text)

    def _answer(self, text: str) -> None:
        """Says at once what becomes of a wish to stop; called in the middle of anything."""
        self.display.phase(text)
        self.display.note(text)

    def _log(self, text: str) -> None:
        if self.folder.writes:
            with writing(self.folder.path), (self.folder.path / "log.txt").open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}Z  {text}\n")

    def _record(self, row: dict[str, Any]) -> None:
        if self.recorder:
            self.recorder.write(row)
            self.artifacts.record(row)
        if row["kind"] in ("epoch", "evaluation"):
            self.lines.append(row)

    def _end_epoch(self, row: Row) -> None:
        session, run = self.session, self.session.run
        rates: dict[str, float] = {"lr": row.lr, "momentum": row.momentum}
        if (stage := run.plan.stage(row.epoch)).batch_growth:
            rates["batch_size"] = stage.batch_size_at(row.epoch)
        line = {"kind": "epoch", "epoch": row.epoch, "step": row.step, **rates, **self.epoch.line()}
        self.epoch = EpochSums(session)
        line |= {"ranks": ranks} if (ranks := self.speeds.line(self.comm)) else {}
        line |= selection_stats(session, row.epoch)
        line |= layer_stats(run)
        if (note := run.selection.selector.note()) and note != self.last_note:
            self.last_note = line["note"] = note
            self._note(note)
            self._write_resolved()
        self._record(line)
        self._warn(line)
        last = run.cursor.epoch == run.plan.epochs
        shown = validation_metrics(session.plan.recipe, session.task)
        if scalars := self.evaluator.validate(last):
            line |= {f"val_{metric.name}": scalars.get(metric.name) for metric in shown}
        self.amendments.after_epoch(scalars)
        if self.folder.writes:
            write_csv(self.folder.path / "metrics.csv", self.lines, session.task.step_metrics, shown)
        self.folder.status("running", **self._where())
        self.display.epoch(line, session)
        self._log(in_words(line, session))
        if not last:
            self.artifacts.plots()

    def _warn(self, line: dict[str, Any]) -> None:
        """Says, once each, that nothing is learnt, and what selection does that it should not."""
        rows = [row for row in self.lines if row["kind"] == "epoch"]
        found = complaints(self.session, line, [row["kept_share"] for row in rows]) | self.health.complaints(rows)
        for kind, text in found.items():
            if kind not in self.warned:
                self.warned.add(kind)
                self._note(f"warning: {text}")

    def _save(self) -> None:
        run = self.session.run
        with run.ledger.phase("checkpoint"):
            state = run.state_dict()
            if self.folder.writes:
                keep, excludes = run.plan.recipe.out.keep, run.sync.excludes_nonfinite
                path = checkpoint.save(state, self.folder.checkpoints, keep, run.plan.kept_epochs, excludes)
                self._record(
                    {
                        "kind": "checkpoint",
                        "path": f"checkpoints/{path.name}",
                        **run.cursor.state_dict(),
                        "seconds": run.ledger.total_seconds,
                    }
                )
        self.checkpoint_times.saved()
        self.evaluator.link_best()
        if self.copies:
            self.copies.offer()

    # --- The run folder ---------------------------------------------------------------------------------------

    def _write_head(self) -> None:
        session, folder = self.session, self.folder
        folder.json("plan.json", plan_json(session.plan))
        folder.json("env.json", _environment(session.plan))
        self._write_resolved()
        lines = [
            {"split": split, "id": image.id, "name": image.name, "reason": image.reason}
            for split, image in session.damaged
        ]
        if lines:
            folder.json("quarantine.json", lines)
        folder.status("running", **self._where())

    def _write_resolved(self) -> None:
        """Writes the recipe with every key, and as comments what a learning rate and a method have become."""
        recipe = self.session.plan.recipe
        self.folder.file(RESOLVED, recipe.to_toml() + found_in_toml(self.session.run) + in_toml(became(self.session)))

    def _write_found(self) -> None:
        """Writes what holds the learning rate again, where one has been found."""
        if self.session.plan.found_lr is not None:
            self.folder.json("plan.json", plan_json(self.session.plan))
            self._write_resolved()
            self.amendments.told.add("train.lr")

    def _end_record(self, with_report: bool) -> None:
        """Closes the record; a report that cannot be drawn must not spoil a run that has been trained."""
        if not self.folder.writes:
            return
        if with_report:
            self.artifacts.plots(last=True)
        try:
            if self.recorder:
                self.recorder.close()
            if with_report:
                report.write(self.folder.path)
        except Exception as error:
            self._note(f"report.html could not be written: {type(error).__name__}: {error}")

    def _where(self) -> dict[str, Any]:
        run = self.session.run
        best = {key: run.validation.best[key] for key in ("epoch", "metric", "value")} if run.validation.best else None
        return {**run.cursor.state_dict(), **({"best": best} if best else {})}


def _environment(plan: Plan) -> dict[str, Any]:
    machine = plan.facts.machine
    return environment.describe(machine.device, machine.threads, machine.processes, machine.bf16)
