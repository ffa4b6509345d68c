"""The standard body of the training loop: evaluate, checkpoint, stop on request, and keep the run folder."""

from __future__ import annotations

import math
import time
from typing import Any

import torch

from fewer import checkpoint, environment, report, signals
from fewer.build import Session
from fewer.data.images import ImageData
from fewer.data.once import evaluation_batch_size
from fewer.determinism import named_operations
from fewer.display import Display
from fewer.epoch import EpochSums, costs, in_words
from fewer.errors import FewerError, RecipeError, printable
from fewer.exhibits import Exhibits
from fewer.folder import RESOLVED, SUSPECTS, RunFolder
from fewer.handover import link_model, load_model, publish_model
from fewer.loop import Row, train
from fewer.parts import Evaluation, Request
from fewer.recipe import Recipe
from fewer.record import Recorder, read_json, read_rows, rewind, write_csv, writing
from fewer.reference import provide
from fewer.selected import list_suspects, loss_of_scoring, selection_told


class Body:
    """One process's way through a run, from wherever its checkpoint stands."""

    recorder: Recorder | None = None
    is_new_best = False
    has_warned = False
    told = ""  # the selector's newest note

    def __init__(self, session: Session, folder: RunFolder, display: Display, stop: signals.Stop) -> None:
        self.session, self.folder, self.display, self.stop = session, folder, display, stop
        self.comm = session.run.comm
        self.saved_at = time.monotonic()
        self.epoch = EpochSums(session)
        self.exhibits = Exhibits(session, folder, self._note)
        self.head: list[dict[str, Any]] = []  # rows that a resumed run begins with
        self.lines: list[dict[str, Any]] = []  # epochs and evaluations so far, for metrics.csv
        self.amended: set[str] = set()  # keys of amendments that have been recorded
        if session.loader:
            session.loader.note.listen(self._note)
        for split, image in session.damaged:
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
            run.load_state_dict(state)
            self.amended = set(run.amendments)
            self.epoch = EpochSums(self.session)
            self._note(f"resumed from {path.name}")
        self._recover_best()
        if (plan.epochs, 0) < (run.cursor.epoch, run.cursor.batch):
            raise RecipeError(
                f"train.epochs = {plan.epochs}: the run already stands in epoch {run.cursor.epoch + 1}; ask for more"
            )
        if self.folder.writes:
            rewind(self.folder.rows, lambda row: _position(row) <= (run.cursor.epoch, run.cursor.batch))
            for row in read_rows(self.folder.rows):
                if row.get("kind") in ("epoch", "evaluation"):
                    self.lines.append(row)
                if row.get("kind") == "step" and row.get("epoch") == run.cursor.epoch:
                    self.epoch.restore(row["loss"], row["top1"], row["kept"])
        here = environment.describe(plan)
        try:
            changes = environment.changes(read_json(self.folder.path / "env.json"), here)
        except (OSError, ValueError):
            changes = ["env.json cannot be read"]
        if changes:
            self._note("no longer bit-identical to an unstopped run: " + "; ".join(changes))
        self._announce(before.epochs, exact=not changes)

    def _recover_best(self) -> None:
        """Makes `checkpoints/best` what the checkpoint calls the best; one that is gone is looked for anew."""
        run = self.session.run
        model = run.best.get("model")
        if model and not (self.folder.checkpoints / model).is_dir():
            self._note(f"the best model so far, {model}, is gone: the best of what follows will be handed over")
            run.best = {}
        self._link_best()

    def _announce(self, epochs_before: int, exact: bool) -> None:
        """Prepares the rows that say that, and how, the run was resumed."""
        run = self.session.run
        where = {**run.cursor.state_dict(), "seconds": run.ledger.total_seconds}
        self.head.append({"kind": "resume", **where, "exact": exact})
        if epochs_before != run.plan.epochs:
            change = {"key": "train.epochs", "old": epochs_before, "new": run.plan.epochs}
            self.head.append({"kind": "amendment", **change, **where})

    # --- Training ---------------------------------------------------------------------------------------------

    def drive(self) -> dict[str, Any]:
        """Trains to the end; whatever happens, `status.json` says so."""
        try:
            with named_operations():
                return self._train()
        except FewerError as error:
            state = {75: "preempted", 130: "interrupted"}.get(error.exit_code, "failed")
            self.folder.status(state, message=str(error), exit_code=error.exit_code, **self._where())
            raise
        except BaseException as error:
            self.folder.status("failed", message=f"{type(error).__name__}: {error}", exit_code=1, **self._where())
            raise
        finally:
            self.session.close()
            self.exhibits.close()
            self._write_report()

    def _train(self) -> dict[str, Any]:
        session, run = self.session, self.session.run
        self._write_head()
        self.exhibits.open()
        self.recorder = Recorder(self.folder.rows) if self.folder.writes else None
        for line in self.head:
            self._record(line)
        for text in () if self.head else session.plan.notes:  # a resumed run has said them before
            self._note(text)
        self.stop.run = run
        if not provide(session, self._note, self._record):
            again = f"`fewer resume {self.folder.path}` computes them anew"
            raise self.stop.stopped(f"before the reference losses were complete, which begin the run; {again}")
        self.epoch.since = time.monotonic()
        for row in train(session.task, session.train_data, run):
            session.book_decoding()
            self._amend()
            self._record(self._step_row(row))
            self.epoch.add(row.loss, row.top1, row.kept, row.candidates)
            self.display.row(row, session)
            self.exhibits.stage(row)
            if row.epoch_end:
                self._end_epoch(row)
            if self._checkpoint_due(row) or row.stop or self.is_new_best or run.cursor.epoch == run.plan.epochs:
                self._save()
            if row.stop and run.cursor.epoch < run.plan.epochs:
                raise self.stop.stopped(
                    f"and saved in epoch {run.cursor.epoch + 1}, step {run.cursor.step}; "
                    f"`fewer resume {self.folder.path}` goes on"
                )
        return self._finish()

    def _amend(self) -> None:
        """Says and records what of the plan had to change in the last batch."""
        run = self.session.run
        for key in run.amendments.keys() - self.amended:
            change = {"key": key, **run.amendments[key]}
            self._note(f'warning: {key} = "{change["old"]}" became "{change["new"]}": {change["reason"]}')
            where = {**run.cursor.state_dict(), "seconds": run.ledger.total_seconds}
            self._record({"kind": "amendment", **change, **where})
            self.amended.add(key)

    def _note(self, text: str) -> None:
        """Shows a line and keeps it in `log.txt`; file names in it may hold anything."""
        text = printable(text)
        self.display.note(text)
        self._log(text)

    def _log(self, text: str) -> None:
        if self.folder.writes:
            with writing(self.folder.path), (self.folder.path / "log.txt").open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}Z  {text}\n")

    def _record(self, row: dict[str, Any]) -> None:
        if self.recorder:
            self.recorder.write(row)
            self.exhibits.record(row)
        if row["kind"] in ("epoch", "evaluation"):
            self.lines.append(row)

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
                    "momentum",
                    "loss",
                    "top1",
                    "kept",
                    "candidates",
                    "side_px",
                )
            },
            **costs(ledger),
        }

    def _end_epoch(self, row: Row) -> None:
        session, run = self.session, self.session.run
        rates = {"lr": row.lr, "momentum": row.momentum}
        line = {"kind": "epoch", "epoch": row.epoch, "step": row.step, **rates, **self.epoch.line()}
        self.epoch = EpochSums(session)
        line |= selection_told(session, row.epoch)
        if (note := run.selector.note()) and note != self.told:
            self.told = line["note"] = note
            self._note(note)
        self._record(line)
        self._warn_of_loss(line)
        every = run.plan.recipe.out.evaluate_every
        last = run.cursor.epoch == run.plan.epochs
        if session.val_data and (last or (every and run.cursor.epoch % every == 0)):
            scalars = self._validate(session.val_data)
            line |= {"val_top1": scalars["top1"], "val_loss": scalars["loss"]}
        if self.folder.writes:
            write_csv(self.folder.path / "metrics.csv", self.lines)
        self.folder.status("running", **self._where())
        words = in_words(line, run.plan.epochs)
        self.display.epoch(words)
        self._log(words)
        if not last:
            self.exhibits.plots()

    def _warn_of_loss(self, line: dict[str, Any]) -> None:
        """Says, once, that scoring in the batch costs more than selection saves."""
        warning = "" if self.has_warned else loss_of_scoring(self.session, line["epoch"], line["kept_share"])
        if warning:
            self.has_warned = True
            self._note(f"warning: {warning}")

    def _validate(self, data: ImageData) -> dict[str, float]:
        """Evaluates on the validation set; the best so far is published, and linked once a checkpoint names it."""
        run = self.session.run
        model, renewed = self.session.evaluated_model()
        evaluation = self._evaluated("val", data, model)
        # Of two equally good models the one that was trained longer.
        if evaluation.scalars["top1"] >= run.best.get("value", -math.inf):
            self._publish_best("val/top1", evaluation, model, renewed)
        return evaluation.scalars

    def _publish_best(
        self, metric: str, evaluation: Evaluation | None, model: torch.nn.Module, batchnorm_images: int
    ) -> None:
        self.session.run.best = {
            "epoch": self.session.run.cursor.epoch - 1,
            "metric": metric,
            "value": evaluation.scalars["top1"] if evaluation else None,
            "checkpoint": "checkpoints/best",
            "model": self._publish(evaluation, model),
            "batchnorm_images": batchnorm_images,
        }
        self.is_new_best = True

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
        self._link_best()

    def _link_best(self) -> None:
        """Points `checkpoints/best` to the model that the newest checkpoint calls the best."""
        self.is_new_best = False
        model = self.session.run.best.get("model")
        if model and self.folder.writes:
            link_model(self.folder.checkpoints, model, "best")

    # --- Evaluation and result --------------------------------------------------------------------------------

    def _evaluated(self, split: str, data: ImageData, model: torch.nn.Module) -> Evaluation:
        run, plan = self.session.run, self.session.plan
        side = plan.evaluation_side_px
        self.display.phase(f"evaluating on {split}")
        with run.ledger.phase("evaluate"):
            mine = data.split.ids_M[self.comm.rank :: self.comm.workers]
            size = evaluation_batch_size(side)
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
                **costs(run.ledger),
            }
        )
        return evaluation

    def _publish(self, evaluation: Evaluation | None, model: torch.nn.Module) -> str:
        """Publishes a model of this moment; returns its folder's name on rank 0."""
        session, run = self.session, self.session.run
        if not self.folder.writes:
            return ""
        with run.ledger.phase("checkpoint"):
            about = {
                "schema": 1,
                "model": run.plan.recipe.model.model_dump(mode="json"),
                "classes": list(run.plan.facts.classes),
                "train_images_per_class": list(run.plan.facts.class_images),
                "side_px": run.plan.evaluation_side_px,
                "largest_side_px": run.plan.largest_side_px,
                "precision": run.plan.precision,
                "channels_last": run.plan.channels_last,
                "flip_tta": run.plan.recipe.task.flip_tta,
                "mean": list(session.train_data.mean),
                "std": list(session.train_data.std),
                "digest": run.plan.digest,
                "epochs": run.cursor.epoch,
                "metrics": evaluation.scalars if evaluation else {},
            }
            return publish_model(model, about, self.folder.checkpoints, run.cursor.epoch).name

    def _finish(self) -> dict[str, Any]:
        """Evaluates what is handed over, once, on the test set, and writes `result.json`."""
        session, run, folder = self.session, self.session.run, self.folder
        if session.val_data and not run.best:
            self._validate(session.val_data)
        last_model, renewed = session.evaluated_model()
        if not session.val_data:
            self._publish_best("last", None, last_model, renewed)
        self._link_best()
        last = self._publish(None, last_model)
        if folder.writes:
            link_model(folder.checkpoints, last, "last")
        metrics, tables = self._last_evaluations(last_model)
        session.book_decoding()
        run.ledger.book(run.plan.stages[-1].index, bytes_sent=self.comm.take_bytes_sent(), **self._renewed())
        suspected = list_suspects(session, folder)
        if suspected:
            self._note(f"{suspected:,} labels are suspected to be wrong: {SUSPECTS}")
        result = {
            "schema": 1,
            "digest": run.plan.digest,
            "seed": run.seed,
            "epochs": run.cursor.epoch,
            "steps": run.cursor.step,
            "metrics": metrics,
            "best": run.best,
            "ledger": run.ledger.of_all_ranks(self.comm),
            # A number where it is certain, [lowest, highest] where a threshold decides.
            "predicted": {key: low if low == high else [low, high] for key, (low, high) in run.plan.predicted.items()},
            "fingerprint": session.splits.fingerprint,
            "quarantined": len(session.damaged),
            "amendments": run.amendments,
            "state": run.digest(),
            "suspected_labels": suspected,
            "tables": tables,
        }
        folder.json("result.json", result)
        folder.status("done", **self._where())
        return result

    def _last_evaluations(self, last_model: torch.nn.Module) -> tuple[dict[str, float], dict[str, Any]]:
        """Metrics and tables of the model handed over; of the last one, and of weights without averaging, on test."""
        session, run = self.session, self.session.run
        metrics: dict[str, float] = {}
        tables: dict[str, Any] = {}
        model, last_is_best = last_model, run.best["epoch"] == run.plan.epochs - 1
        if not last_is_best:
            model = run.evaluated_model()
            load_model(model, self.folder.checkpoints / "best")
        for name, data in (("val", session.val_data), ("test", session.test_data)):
            if not data:
                continue
            # On validation the model handed over is a point of its own, not one of the curve over the epochs.
            evaluation = self._evaluated({"val": "val/best"}.get(name, name), data, model)
            found, listed = evaluation.named(name, data.split.source.names)
            metrics, tables = metrics | found, tables | listed
            if name == "test" or not session.test_data:
                paths = self.exhibits.worst(data, evaluation.worst)
                for sample, path in zip(tables[f"{name}/worst_samples"], paths, strict=False):
                    sample["thumbnail"] = path
        if session.test_data and not last_is_best:
            evaluation = self._evaluated("test/last", session.test_data, last_model)
            metrics |= {f"test/last/{key}": value for key, value in evaluation.scalars.items()}
        if session.test_data and run.ema:
            evaluation = self._evaluated("test/raw", session.test_data, run.sync.averaged(run.workers).eval())
            metrics |= {f"test/raw/{key}": value for key, value in evaluation.scalars.items()}
        return metrics, tables

    def _renewed(self) -> dict[str, int]:
        """Ledger entries of the BatchNorm statistics of the model handed over; those of others are evaluation."""
        images, plan = self.session.run.best.get("batchnorm_images", 0), self.session.plan
        looked_at = dict.fromkeys(("samples_loaded", "samples_forwarded"), images)
        return {**looked_at, "flops": int(plan.batchnorm_flops) if images else 0}

    # --- The run folder ---------------------------------------------------------------------------------------

    def _write_head(self) -> None:
        session, folder = self.session, self.folder
        folder.json("plan.json", session.plan.as_json())
        folder.json("env.json", environment.describe(session.plan))
        folder.file(RESOLVED, session.plan.recipe.to_toml())
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
        self.exhibits.plots(last=True)
        try:
            if self.recorder:
                self.recorder.close()
            report.write(self.folder.path)
        except Exception as error:
            self._note(f"report.html could not be written: {type(error).__name__}: {error}")

    def _where(self) -> dict[str, Any]:
        run = self.session.run
        best = {key: run.best[key] for key in ("epoch", "metric", "value")} if run.best else None
        return {**run.cursor.state_dict(), **({"best": best} if best else {})}


def _position(row: dict[str, Any]) -> tuple[int, int]:
    """Where the run stood after a row: rows behind the checkpoint are written again."""
    epoch, batch = row.get("epoch", -1), row.get("batch", -1)
    if row.get("kind") in ("step", "reference"):  # without a step behind them, reference losses are computed again
        return (epoch, batch + 1)
    return (epoch + 1, 0) if row.get("kind") in ("epoch", "evaluation") else (epoch, batch)
