"""The standard body of the training loop: evaluate, checkpoint, stop on signals, and keep the run folder."""

from __future__ import annotations

import gzip
import math
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from fewer import checkpoint, environment, report, select, signals
from fewer.build import Session, make_plan, open_data, open_session
from fewer.data.fingerprint import difference
from fewer.data.images import ImageData
from fewer.data.splits import Splits
from fewer.errors import DataError, FewerError, RecipeError, Stopped
from fewer.folder import RunFolder
from fewer.handover import load_model, publish_model
from fewer.loop import Row, train
from fewer.parts import Comm, Evaluation, Request, Selector
from fewer.recipe import Recipe, changed_keys, load_recipe, parse_recipe_file
from fewer.record import Recorder, read_rows, rewind, write_csv
from fewer.sync.comm import Alone

# Keys that a resumed run may be given anew.
RESUMABLE = ("out", "data.processes", "data.cache", "train.epochs")
_GIVEN, _RESOLVED, _MANIFEST = "recipe.given.toml", "recipe.resolved.toml", "data.tsv.gz"


class Display(Protocol):
    """Where a run's progress is shown."""

    def decoding(self, done: int, total: int) -> None: ...

    def note(self, text: str) -> None: ...

    def row(self, row: Row, session: Session) -> None: ...

    def epoch(self, line: dict[str, Any], session: Session) -> None: ...


class Silent:
    """Shows nothing."""

    def decoding(self, done: int, total: int) -> None:
        return

    def note(self, text: str) -> None:
        return

    def row(self, row: Row, session: Session) -> None:
        return

    def epoch(self, line: dict[str, Any], session: Session) -> None:
        return


def fit(
    recipe: Recipe,
    out: str | Path,
    *,
    given: str = "",
    comm: Comm | None = None,
    selector: Selector | None = None,
    display: Display | None = None,
) -> dict[str, Any]:
    """Trains a recipe from the start in a new run folder.

    Args:
        recipe: What the user asked.
        out: The run folder; it must not exist yet, or be empty.
        given: The recipe's text as the user wrote it, kept beside the resolved one.
        comm: How processes exchange tensors; one process alone if left out.
        selector: A selector of the caller's own, in place of the recipe's.
        display: Where progress is shown; nowhere if left out.

    Returns:
        The content of `result.json`.

    Raises:
        FewerError: Whatever is wrong with recipe, data, disk or training; see `fewer.errors`.
    """
    comm, display = comm or Alone(), display or Silent()
    splits = open_data(recipe)
    plan = make_plan(recipe, splits, comm.workers, selector)
    folder = RunFolder(Path(out), writes=comm.rank == 0)
    folder.create()
    try:
        folder.require_space(12 * plan.facts.parameters * (2 if plan.precision == "fp64" else 1), recipe.out.keep)
        folder.file(_GIVEN, given or recipe.to_toml())
        folder.file(_MANIFEST, gzip.compress("\n".join(splits.manifest()).encode(), 3, mtime=0))
        folder.file(_RESOLVED, recipe.to_toml())  # the last: from here on the run can be resumed
        fitting = _Fitting(recipe, splits, folder, comm, display, selector)
    except BaseException:
        folder.discard()  # nothing has been trained: the next try finds the place free
        raise
    try:
        return fitting.drive()
    finally:
        folder.release()


def resume(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    comm: Comm | None = None,
    selector: Selector | None = None,
    display: Display | None = None,
) -> dict[str, Any]:
    """Goes on with a run from its newest intact checkpoint, bit for bit as if it had never stopped.

    Args:
        path: The run folder.
        overrides: `key=value` texts; only `RESUMABLE` keys may change.
        comm: As for `fit`.
        selector: As for `fit`.
        display: As for `fit`.

    Raises:
        RecipeError: The folder is no run, or another key than those was changed.
        DataError: The data is no longer what the run began with.
        CheckpointError: There are checkpoints, but none is intact.
    """
    comm, display = comm or Alone(), display or Silent()
    folder = RunFolder(Path(path), writes=comm.rank == 0)
    if not (folder.path / _RESOLVED).is_file():
        raise RecipeError(f"{path}: not a run folder: it has no {_RESOLVED}; give the folder that `fewer train` made")
    before = load_recipe(folder.path / _RESOLVED)
    recipe = extended(before, overrides)
    _require_selector(folder, selector)
    finished = _finished(folder, recipe)
    if finished:
        display.note(f"{path}: finished already, nothing to do; train.epochs={2 * recipe.epochs} would train longer")
        return finished
    folder.lock()
    try:
        splits = open_data(recipe)
        _refuse_other_data(folder, splits)
        fitting = _Fitting(recipe, splits, folder, comm, display, selector)
        fitting.restore(before)
        return fitting.drive()
    finally:
        folder.release()


def _finished(folder: RunFolder, recipe: Recipe) -> dict[str, Any] | None:
    """The result of a run that stands at its end."""
    try:
        result: dict[str, Any] = _read_json(folder.result)
        return result if result["epochs"] == recipe.epochs else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def extended(before: Recipe, overrides: Sequence[str]) -> Recipe:
    """A run's recipe with the changes that a resumed run may take.

    With `[[stages]]`, `train.epochs` is the new total: the last stage becomes longer or shorter.
    """
    content = before.model_dump(mode="json", exclude_none=True)
    stages = content.get("stages")
    if stages:
        content["train"]["epochs"] = before.epochs
    recipe, content = parse_recipe_file(content, overrides)
    asked = content["train"]["epochs"]
    if stages and asked != before.epochs:
        last = asked - sum(stage["epochs"] for stage in stages[:-1])
        if last < 1:
            raise RecipeError(
                f"train.epochs = {asked}: the stages before the last take {asked - last} epochs; ask for more"
            )
        content["stages"][-1]["epochs"] = last
        recipe, content = parse_recipe_file(content, ())
    refused = [
        f"{key} = {new!r}: a resumed run keeps its {key} = {old!r}; only {', '.join(RESUMABLE)} may change; "
        "start a new run with `fewer train`"
        for key, old, new in changed_keys(before, recipe)
        if not key.startswith(("out.", "data.processes", "data.cache"))
        and key not in ("train.epochs", f"stages.{len(before.stages) - 1}.epochs")
    ]
    if refused:
        raise RecipeError(refused)
    return recipe


def _require_selector(folder: RunFolder, selector: Selector | None) -> None:
    """A run that began with a selector of the caller's own cannot go on without it."""
    try:
        method = _read_json(folder.path / "plan.json")["select"]["method"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    own = type(selector).__qualname__ if selector else ""
    if method not in select.names() and method != own:
        raise RecipeError(
            f"{folder.path}: the run began with a selector of its own, {method}; "
            "resume it from Python with fewer.resume(path, selector=...)"
        )


def _refuse_other_data(folder: RunFolder, splits: Splits) -> None:
    try:
        before = gzip.decompress((folder.path / _MANIFEST).read_bytes()).decode().split("\n")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(
            f"{folder.path / _MANIFEST}: cannot be read ({error}), so the data cannot be compared"
        ) from None
    changed = difference(before, splits.manifest())
    if changed:
        raise DataError(
            f"{splits.train.source.name}: not the data that the run began with: {changed}; "
            "put the files back, or start a new run"
        )


class _Fitting:
    """One process's way through a run, from wherever its checkpoint stands."""

    def __init__(
        self,
        recipe: Recipe,
        splits: Splits,
        folder: RunFolder,
        comm: Comm,
        display: Display,
        selector: Selector | None,
    ) -> None:
        self.folder, self.comm, self.display = folder, comm, display
        self.stopped_by = 0
        self.session = open_session(recipe, splits, comm, selector, display.decoding)
        self.saved_at = time.monotonic()
        self.epoch = _EpochSums(self.session)
        for split, image in self.session.damaged:
            self._note(f"quarantined {split} image {image.name}: {image.reason}")

    # --- Resuming ---------------------------------------------------------------------------------------------

    def restore(self, before: Recipe) -> None:
        """Loads the newest intact checkpoint; a run that was killed before its first one begins anew."""
        run, plan = self.session.run, self.session.plan
        try:
            state, path, damaged = checkpoint.load_newest(self.folder.checkpoints)
        except FileNotFoundError:
            self._note("no checkpoint yet: the run begins anew")
        else:
            for text in damaged:
                self._note(f"passed over a damaged checkpoint: {text}")
            # Rows are per stage: a run of other stages has another ledger, so ledgers of equal length are merged.
            run.load_state_dict(state)
            self.epoch = _EpochSums(self.session)
            self._note(f"resumed from {path.name}")
        if plan.epochs < run.cursor.epoch:
            raise RecipeError(
                f"train.epochs = {plan.epochs}: the run already stands behind epoch {run.cursor.epoch}; ask for more"
            )
        if self.folder.writes:
            rewind(self.folder.rows, lambda row: _position(row) <= (run.cursor.epoch, run.cursor.batch))
            for row in read_rows(self.folder.rows):
                if row["kind"] == "step" and row["epoch"] == run.cursor.epoch:
                    self.epoch.add(row["loss"], row["top1"], row["kept"], row["candidates"])
        here = environment.describe(plan)
        try:
            changes = environment.changes(_read_json(self.folder.path / "env.json"), here)
        except (OSError, ValueError):
            changes = ["env.json cannot be read"]
        if changes:
            self._note("no longer bit-identical to an unstopped run: " + "; ".join(changes))
        self.resumed = {
            "kind": "resume",
            "epoch": run.cursor.epoch,
            "batch": run.cursor.batch,
            "step": run.cursor.step,
            "seconds": run.ledger.total_seconds,
            "exact": not changes,
        }
        self.amended = (
            {
                "kind": "amendment",
                "key": "train.epochs",
                "old": before.epochs,
                "new": plan.epochs,
                "epoch": run.cursor.epoch,
                "batch": run.cursor.batch,
                "step": run.cursor.step,
            }
            if before.epochs != plan.epochs
            else None
        )

    resumed: dict[str, Any] | None = None
    amended: dict[str, Any] | None = None

    # --- Training ---------------------------------------------------------------------------------------------

    def drive(self) -> dict[str, Any]:
        """Trains to the end; whatever happens, `status.json` says so."""
        try:
            with signals.caught(self._request_stop):
                return self._train()
        except FewerError as error:
            state = {75: "preempted", 130: "interrupted"}.get(error.exit_code, "failed")
            self.folder.status(state, message=str(error), exit_code=error.exit_code, **self._where())
            raise
        except BaseException as error:
            self.folder.status("failed", message=f"{type(error).__name__}: {error}", exit_code=1, **self._where())
            raise
        finally:
            self._write_report()

    def _train(self) -> dict[str, Any]:
        session, run = self.session, self.session.run
        self._write_head()
        recorder = Recorder(self.folder.rows) if self.folder.writes else None
        self._record = recorder.write if recorder else lambda row: None
        for line in (self.resumed, self.amended):
            if line:
                self._record(line)
        for row in train(session.task, session.train_data, run):
            session.book_decoding()
            self._record(self._step_row(row))
            self.epoch.add(row.loss, row.top1, row.kept, row.candidates)
            self.display.row(row, session)
            if row.epoch_end:
                self._end_epoch(row)
            if row.stop or self._checkpoint_due(row) or run.cursor.epoch == run.plan.epochs:
                self._save()
            if row.stop and run.cursor.epoch < run.plan.epochs:
                self._stop()
        result = self._finish()
        if recorder:
            recorder.close()
        return result

    def _note(self, text: str) -> None:
        """Shows a line and keeps it in `log.txt`."""
        self.display.note(text)
        if self.folder.writes:
            with (self.folder.path / "log.txt").open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}Z  {text}\n")

    def _request_stop(self, number: int) -> None:
        self.stopped_by = number
        self.session.run.stop_requested = True

    def _stop(self) -> None:
        number = self.stopped_by or signal.SIGTERM
        where = self._where()
        raise Stopped(
            f"stopped by {signal.Signals(number).name} and saved in epoch {where['epoch'] + 1}, step {where['step']}; "
            f"`fewer resume {self.folder.path}` goes on",
            signals.EXIT_CODES[signal.Signals(number)],
        )

    def _step_row(self, row: Row) -> dict[str, Any]:
        ledger = self.session.run.ledger
        return {
            "kind": "step",
            **{
                name: getattr(row, name)
                for name in (
                    "epoch",
                    "batch",
                    "step",
                    "progress",
                    "lr",
                    "loss",
                    "top1",
                    "kept",
                    "candidates",
                    "side_px",
                )
            },
            **_costs(ledger),
        }

    def _end_epoch(self, row: Row) -> None:
        session, run = self.session, self.session.run
        line = {"kind": "epoch", "epoch": row.epoch, "step": row.step, "lr": row.lr, **self.epoch.line()}
        self.epoch = _EpochSums(session)
        series = run.selector.series(run.table)
        if series:
            line["series"] = {name: values.tolist() for name, values in series.items()}
        self._record(line)
        every = run.plan.recipe.out.evaluate_every
        last = run.cursor.epoch == run.plan.epochs
        if session.val_data and (last or (every and run.cursor.epoch % every == 0)):
            evaluation = self._evaluated("val", session.val_data, run.evaluated_model())
            line |= {"val_top1": evaluation.scalars["top1"], "val_loss": evaluation.scalars["loss"]}
            if evaluation.scalars["top1"] > run.best.get("value", -math.inf):
                run.best = {
                    "epoch": row.epoch,
                    "metric": "val/top1",
                    "value": evaluation.scalars["top1"],
                    "checkpoint": "checkpoints/best",
                }
                self._publish("best", evaluation)
        if self.folder.writes:
            write_csv(self.folder.path / "metrics.csv", read_rows(self.folder.rows))
        self.folder.status("running", **self._where())
        self.display.epoch(line, session)

    def _checkpoint_due(self, row: Row) -> bool:
        every = self.session.plan.recipe.out.checkpoint_every
        if every.unit == "min":
            # Clocks differ: rank 0 decides for all.
            due = torch.tensor([float(self.comm.rank == 0 and time.monotonic() - self.saved_at >= 60 * every.value)])
            self.comm.all_reduce([due])
            return bool(due > 0)
        if every.unit == "step":
            steps = max(1, round(every.value))
            return row.step // steps > (row.step - row.steps) // steps
        length = every.in_epochs(self.session.plan.epochs)
        here, before = (row.epoch + (row.batch + done) / row.batches for done in (1, 0))
        return math.floor(here / length + 1e-9) > math.floor(before / length + 1e-9)

    def _save(self) -> None:
        run = self.session.run
        with run.ledger.phase("checkpoint"):
            state = run.state_dict()
            if self.folder.writes:
                path = checkpoint.save(state, self.folder.checkpoints, run.plan.recipe.out.keep)
                self._record(
                    {
                        "kind": "checkpoint",
                        "path": f"checkpoints/{path.name}",
                        **run.cursor.state_dict(),
                        "seconds": run.ledger.total_seconds,
                    }
                )
        self.saved_at = time.monotonic()

    # --- Evaluation and result --------------------------------------------------------------------------------

    def _evaluated(self, split: str, data: ImageData, model: torch.nn.Module) -> Evaluation:
        run, plan = self.session.run, self.session.plan
        side = plan.evaluation_side_px
        with run.ledger.phase("evaluate"):
            mine = data.split.ids_M[self.comm.rank :: self.comm.workers]
            size = max(16, round(512 * (32 / side) ** 2))
            requests = (Request(ids, run.cursor.epoch, side, strength=0.0) for ids in mine.split(size))
            evaluation = self.session.task.evaluate(model, data.batches(requests), self.comm)
        run.ledger.book(plan.stage(max(0, run.cursor.epoch - 1)).index, samples_evaluated=len(mine))
        self._record(
            {
                "kind": "evaluation",
                "split": split,
                "epoch": run.cursor.epoch - 1,
                "step": run.cursor.step,
                "scalars": evaluation.scalars,
                **_costs(run.ledger),
            }
        )
        return evaluation

    def _publish(self, link: str, evaluation: Evaluation | None) -> None:
        session, run = self.session, self.session.run
        model = run.evaluated_model()
        if not self.folder.writes:
            return
        with run.ledger.phase("checkpoint"):
            about = {
                "schema": 1,
                "model": run.plan.recipe.model.model_dump(mode="json"),
                "classes": list(run.plan.facts.classes),
                "side_px": run.plan.evaluation_side_px,
                "mean": list(session.train_data.mean),
                "std": list(session.train_data.std),
                "digest": run.plan.digest,
                "epochs": run.cursor.epoch,
                "metrics": evaluation.scalars if evaluation else {},
            }
            publish_model(model, about, self.folder.checkpoints, run.cursor.epoch, link)

    def _finish(self) -> dict[str, Any]:
        """Evaluates what is handed over, once, on the test set, and writes `result.json`."""
        session, run, folder = self.session, self.session.run, self.folder
        metrics: dict[str, float] = {}
        tables: dict[str, Any] = {}
        self._publish("last", None)
        if not session.val_data:
            run.best = {"epoch": run.plan.epochs - 1, "metric": "last", "value": None, "checkpoint": "checkpoints/best"}
            self._publish("best", None)
        last_is_best = run.best["epoch"] == run.plan.epochs - 1
        model = run.evaluated_model()
        if not last_is_best:
            load_model(model, folder.checkpoints / "best")
        for name, data in (("val", session.val_data), ("test", session.test_data)):
            if data is None:
                continue
            evaluation = self._evaluated(name, data, model)
            metrics |= {f"{name}/{key}": value for key, value in evaluation.scalars.items()}
            tables |= {f"{name}/{key}": value for key, value in evaluation.tables.items()}
            tables[f"{name}/worst"] = [data.split.source.names[i] for i in evaluation.worst_ids]
        if session.test_data and not last_is_best:
            last = self._evaluated("test/last", session.test_data, run.evaluated_model())
            metrics |= {f"test/last/{key}": value for key, value in last.scalars.items()}
        if session.test_data and run.ema:
            raw = self._evaluated("test/raw", session.test_data, run.sync.averaged(run.workers).eval())
            metrics |= {f"test/raw/{key}": value for key, value in raw.scalars.items()}
        session.book_decoding()
        low, high = ({key: bounds[i] for key, bounds in run.plan.predicted.items()} for i in (0, 1))
        result = {
            "schema": 1,
            "digest": run.plan.digest,
            "seed": run.seed,
            "epochs": run.cursor.epoch,
            "steps": run.cursor.step,
            "metrics": metrics,
            "best": run.best,
            "ledger": self._ledger(),
            "predicted": {"low": low, "high": high},
            "fingerprint": session.splits.fingerprint,
            "quarantined": len(session.damaged),
            "state": run.digest(),
            "tables": tables,
        }
        folder.json("result.json", result)
        folder.status("done", **self._where())
        return result

    def _ledger(self) -> dict[str, Any]:
        """The ledger of all ranks: what each did on its own is summed, and listed per rank."""
        ledger = self.session.run.ledger
        totals = ledger.totals()
        if self.comm.workers == 1:
            return totals
        names = (
            "samples_loaded",
            "samples_decoded",
            "decoded_pixels",
            "samples_evaluated",
            "bytes_sent",
            "peak_memory_bytes",
        )
        mine = torch.tensor([[float(totals[name]) for name in names]], dtype=torch.float64)
        rows = self.comm.gather([mine]).tolist()
        totals["ranks"] = [dict(zip(names, map(int, row), strict=True)) for row in rows]
        for index, name in enumerate(names):
            column = [int(row[index]) for row in rows]
            totals[name] = max(column) if name == "peak_memory_bytes" else sum(column)
        return totals

    # --- The run folder ---------------------------------------------------------------------------------------

    def _write_head(self) -> None:
        session, folder = self.session, self.folder
        folder.json("plan.json", session.plan.as_json())
        folder.json("env.json", environment.describe(session.plan))
        folder.file(_RESOLVED, session.plan.recipe.to_toml())
        lines = [
            {"split": split, "id": image.id, "name": image.name, "reason": image.reason}
            for split, image in session.damaged
        ]
        if lines:
            folder.json("quarantine.json", lines)
        folder.status("running", **self._where())

    def _write_report(self) -> None:
        """A report that cannot be drawn must not spoil a run that has been trained."""
        if not self.folder.writes:
            return
        try:
            report.write(self.folder.path)
        except Exception as error:
            self._note(f"report.html could not be written: {type(error).__name__}: {error}")

    def _where(self) -> dict[str, int]:
        return self.session.run.cursor.state_dict()


class _EpochSums:
    """Means over an epoch's rows."""

    def __init__(self, session: Session) -> None:
        self.ledger = session.run.ledger
        self.loss = self.right = 0.0
        self.kept = self.candidates = 0
        self.since = time.monotonic()
        self.trained_before = self.ledger.total("samples_backpropagated")

    def add(self, loss: float | None, top1: float | None, kept: int, candidates: int) -> None:
        self.loss += (loss or 0.0) * kept
        self.right += (top1 or 0.0) * kept
        self.kept += kept
        self.candidates += candidates

    def line(self) -> dict[str, Any]:
        kept = max(1, self.kept)
        return {
            "loss": self.loss / kept,
            "top1": self.right / kept,
            "kept_share": self.kept / self.ledger.train_images,
            "images_per_second": self.candidates / max(1e-9, time.monotonic() - self.since),
            **_costs(self.ledger),
        }


def _costs(ledger: Any) -> dict[str, float]:
    return {
        "seconds": ledger.total_seconds,
        "fee": ledger.full_epoch_equivalents,
        "effective_epochs": ledger.effective_epochs,
    }


def _position(row: dict[str, Any]) -> tuple[int, int]:
    """Where the run stood after a row: rows behind the checkpoint are written again."""
    epoch, batch = row.get("epoch", -1), row.get("batch", -1)
    if row["kind"] == "step":
        return (epoch, batch + 1)
    return (epoch + 1, 0) if row["kind"] in ("epoch", "evaluation") else (epoch, batch)


def _read_json(path: Path) -> Any:
    import json

    return json.loads(path.read_text())
