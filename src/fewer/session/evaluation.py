"""Evaluation in a run: the best model is kept as a file, and the result is written once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fewer import tasks
from fewer.core.evaluation import Evaluate, Evaluation, interval
from fewer.core.text import quantity
from fewer.core.types import Request
from fewer.data.one_pass import evaluation_batch_size
from fewer.models.published import SCHEMA, link_model, load_model, publish_model
from fewer.runs.folder import SUSPECTS, RunFolder
from fewer.session.dense_suspects import list_dense_suspects, names_suspects
from fewer.session.epoch_metrics import costs, decisive_metric
from fewer.session.selection_stats import became
from fewer.session.statistics import evaluation_side_px, model_for
from fewer.session.suspects import list_suspects

if TYPE_CHECKING:
    from torch import nn

    from fewer.data.images import ImageData
    from fewer.session.artifacts import Artifacts
    from fewer.session.build import Session
    from fewer.session.progress import Display


class Evaluator:
    """Judges the models of one process's run.

    A model is published when it is the best so far, and linked as `checkpoints/best` once a checkpoint names it: what
    a resumed run goes on from and what the link points to are then the same.

    Args:
        session: What is trained on what.
        folder: Where models and the result go.
        display: Says what is being evaluated.
        artifacts: Draws the worst samples.
        record: Keeps a row.
        note: Says a line.
    """

    def __init__(
        self,
        session: Session,
        folder: RunFolder,
        display: Display,
        artifacts: Artifacts,
        record: Callable[[dict[str, Any]], None],
        note: Callable[[str], None],
    ) -> None:
        self.session, self.folder, self.display, self.artifacts = session, folder, display, artifacts
        self.record, self.note = record, note
        self.is_new_best = False

    # --- During the run ---------------------------------------------------------------------------------------

    def recover_best(self) -> None:
        """Makes `checkpoints/best` what the checkpoint calls the best; one that is gone is looked for again."""
        run = self.session.run
        model = run.validation.best.get("model")
        if model and not (self.folder.checkpoints / model).is_dir():
            self.note(f"the best model so far, {model}, is gone: the best of what follows will be published")
            run.validation.best = {}
        self.link_best()

    def link_best(self) -> None:
        """Points `checkpoints/best` to the model that the newest checkpoint calls the best."""
        self.is_new_best = False
        model = self.session.run.validation.best.get("model")
        if model and self.folder.writes:
            link_model(self.folder.checkpoints, model, "best")

    def validate(self, is_last: bool) -> dict[str, float]:
        """Makes the evaluations that are due after an epoch; the best model so far is published.

        Models compete at one side only, the one that they are published for: a stage that is evaluated at another side
        shows how training goes, but gives no best model.

        Returns:
            The metrics of the last of them; none, where none was due.
        """
        session, run, scalars = self.session, self.session.run, dict[str, float]()
        for evaluate in session.plan.evaluations:
            is_due = evaluate.every and run.cursor.epoch % evaluate.every == 0
            if evaluate.model != "current" or not (is_due or is_last):
                continue
            model, renewed = model_for(session, evaluate)
            evaluation = self._evaluated(evaluate, model)
            self.artifacts.watch(model, evaluation_side_px(session, evaluate))
            scalars = evaluation.scalars
            # Of two equally good models the one that was trained longer.
            decides = decisive_metric(session.plan.recipe, session.task)
            is_best = decides.no_worse(scalars[decides.name], run.validation.best.get("value", decides.worst))
            if is_best and evaluation_side_px(session, evaluate) == session.plan.evaluation_side_px:
                self._publish_best(f"val/{decides.name}", evaluation, model, renewed)
        return scalars

    # --- At its end -------------------------------------------------------------------------------------------

    def finish(self) -> dict[str, Any]:
        """Evaluates what is published, once, on the test set, and writes `result.json`."""
        session, run, folder = self.session, self.session.run, self.folder
        if session.val_data and not run.validation.best:
            self.validate(is_last=True)
        last_model, renewed = model_for(session, Evaluate("last", "test", side_px=session.plan.evaluation_side_px))
        if not run.validation.best:
            self._publish_best("last", None, last_model, renewed)
        self.link_best()
        last = self._publish(None, last_model)
        if folder.writes:
            link_model(folder.checkpoints, last, "last")
        best_model = self._best_model(last_model)
        metrics, tables = self._last_evaluations(last_model, best_model)
        suspected = self._suspects(best_model, tables)
        session.book_decoding()
        run.ledger.book(run.plan.stages[-1].index, bytes_sent=session.run.comm.take_bytes_sent(), **self._renewed())
        if warning := run.plan.budget.missed_cost(run.ledger.total("flops")):
            self.note(f"warning: {warning}")
        result = {
            "schema": 1,
            "digest": run.plan.digest,
            "seed": run.seed,
            "epochs": run.cursor.epoch,
            "steps": run.cursor.step,
            "metrics": metrics,
            "intervals": self._intervals(metrics),
            "best": run.validation.best,
            "ledger": run.ledger.of_all_ranks(run.comm),
            # A number where it is certain, [lowest, highest] where a threshold decides.
            "predicted": {key: low if low == high else [low, high] for key, (low, high) in run.plan.predicted.items()},
            "fingerprint": session.splits.fingerprint,
            "quarantined": len(session.damaged),
            "amendments": run.amendments,
            **({"origin": origin} if (origin := folder.origin()) else {}),
            "state": run.digest(),
            "suspected_labels": suspected,
            "became": became(session),
            "tables": tables,
        }
        folder.json("result.json", result)
        return result

    def _suspects(self, model: nn.Module, tables: dict[str, Any]) -> int:
        """Lists the annotations that look wrong, as the task or the selector names them; returns how many there are."""
        session = self.session
        if names_suspects(session):
            self.display.phase("holding annotations against the model")
            suspected, tables["suspects"] = list_dense_suspects(session, self.folder, model, self.artifacts.suspicions)
        elif suspected := len(session.run.selection.selector.suspected()):
            tables["suspects"] = list_suspects(session, self.folder, model, self.artifacts.suspects)
        if suspected:
            what = "annotation" if names_suspects(session) else "label"
            self.note(f"suspected to be wrong: {quantity(suspected, what)} ({SUSPECTS})")
        return suspected

    def _best_model(self, last_model: nn.Module) -> nn.Module:
        """The model that is published, with its own weights where the last one is another."""
        if self.session.run.validation.best["epoch"] == self.session.plan.epochs - 1:
            return last_model
        best_model = self.session.run.evaluated_model()
        load_model(best_model, self.folder.checkpoints / "best")
        return best_model

    def _last_evaluations(self, last: nn.Module, best: nn.Module) -> tuple[dict[str, float], dict[str, Any]]:
        """Metrics and tables of the model that is published; of the last one, and of raw weights, metrics only."""
        session, run = self.session, self.session.run
        metrics: dict[str, float] = {}
        tables: dict[str, Any] = {}
        last_is_best = best is last
        for evaluate in session.plan.evaluations:
            if evaluate.model == "best":
                evaluation = self._evaluated(evaluate, best)
                found, listed = evaluation.named(evaluate.split, self._data(evaluate).split.source.names)
                metrics, tables = metrics | found, tables | listed
                if evaluate.split == "test" or not session.test_data:
                    self._picture(evaluate, evaluation, tables, best)
            elif evaluate.model == "last" and not (last_is_best and evaluate.weights == "averaged"):
                model = run.raw_model() if evaluate.weights == "raw" else last
                scalars = self._evaluated(evaluate, model).scalars
                metrics |= {f"{evaluate.name}/{key}": value for key, value in scalars.items()}
        return metrics, tables

    def _picture(self, evaluate: Evaluate, evaluation: Evaluation, tables: dict[str, Any], model: nn.Module) -> None:
        """Draws the worst samples, and names their pictures in the tables."""
        paths = self.artifacts.worst(self._data(evaluate), evaluation.worst, model)
        for sample, path in zip(tables[f"{evaluate.split}/worst_samples"], paths, strict=False):
            sample["thumbnail"] = path

    def _intervals(self, metrics: Mapping[str, float]) -> dict[str, list[float]]:
        """How exactly the images of their set tell those metrics that are shares of images."""
        images = {"val": self.session.val_data, "test": self.session.test_data}
        counting = {metric.name for metric in tasks.module(self.session.task.name).METRICS if metric.counts_images}
        return {
            key: list(interval(value, len(data.split)))
            for key, value in metrics.items()
            if key.rpartition("/")[2] in counting and (data := images[key.partition("/")[0]])
        }

    def _renewed(self) -> dict[str, int]:
        """Ledger entries of the BatchNorm statistics of the published model; those of others are evaluation."""
        images, plan = self.session.run.validation.best.get("batchnorm_images", 0), self.session.plan
        flops = plan.facts.model.sample_flops(plan.evaluation_side_px, plan.epochs - 1)
        return {**dict.fromkeys(("samples_loaded", "samples_forwarded"), images), "flops": images * flops.forward}

    # --- One model --------------------------------------------------------------------------------------------

    def _data(self, evaluate: Evaluate) -> ImageData:
        data = self.session.val_data if evaluate.split == "val" else self.session.test_data
        assert data is not None
        return data

    def _evaluated(self, evaluate: Evaluate, model: nn.Module) -> Evaluation:
        """Evaluates a model; the processes share out the images, however many workers each of them has."""
        run, plan, comm, data = self.session.run, self.session.plan, self.session.run.comm, self._data(evaluate)
        side_px = evaluation_side_px(self.session, evaluate)
        self.display.phase(f"evaluating on {evaluate.name}")
        with run.ledger.phase("evaluate"):
            mine = data.split.ids_M[comm.rank :: comm.world_size]
            size = evaluation_batch_size(side_px)
            requests = (Request.evaluation(side_px, run.cursor.epoch, ids) for ids in mine.split(size))
            evaluation = self.session.task.evaluate(model, data.batches(requests), comm)
        run.ledger.book(plan.stage(max(0, run.cursor.epoch - 1)).index, samples_evaluated=len(mine))
        self.record(
            {
                "kind": "evaluation",
                "split": evaluate.name,
                "epoch": run.cursor.epoch - 1,
                "step": run.cursor.step,
                "side_px": side_px,
                "scalars": evaluation.scalars,
                **costs(run.ledger),
            }
        )
        return evaluation

    def _publish_best(self, metric: str, evaluation: Evaluation | None, model: nn.Module, images: int) -> None:
        """Publishes the best model so far, whose BatchNorm statistics were estimated again from so many images."""
        self.session.run.validation.best = {
            "epoch": self.session.run.cursor.epoch - 1,
            "metric": metric,
            "value": evaluation.scalars[metric.partition("/")[2]] if evaluation else None,
            "checkpoint": "checkpoints/best",
            "model": self._publish(evaluation, model),
            "batchnorm_images": images,
        }
        self.is_new_best = True

    def _publish(self, evaluation: Evaluation | None, model: nn.Module) -> str:
        """Publishes a model of this moment; returns its folder's name on rank 0."""
        session, run = self.session, self.session.run
        if not self.folder.writes:
            return ""
        with run.ledger.phase("checkpoint"):
            about = {
                "schema": SCHEMA,
                "model": run.plan.recipe.model.model_dump(mode="json"),
                "task": session.task.metadata(),
                "side_px": run.plan.evaluation_side_px,
                "largest_side_px": run.plan.largest_side_px,
                "precision": run.plan.precision,
                "channels_last": run.plan.channels_last,
                "mean": list(session.train_data.mean),
                "std": list(session.train_data.std),
                "depth": run.plan.facts.data.depth,
                **({"aspect": aspect} if (aspect := run.plan.facts.data.aspect) else {}),
                "digest": run.plan.digest,
                "epochs": run.cursor.epoch,
                "metrics": evaluation.scalars if evaluation else {},
            }
            return publish_model(model, about, self.folder.checkpoints, run.cursor.epoch).name
