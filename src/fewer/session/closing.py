"""The end of a run in words: the last lines of `log.txt`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fewer import tasks
from fewer.core.evaluation import Metric
from fewer.session.epoch_metrics import validated, validation_metrics

if TYPE_CHECKING:
    from fewer.plan.plan import Plan
    from fewer.session.build import Session


def closing(result: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], session: Session) -> list[str]:
    """What each of several stages took, the best model, the last epoch, the test, and the total, a line each.

    Args:
        result: The content of `result.json`.
        lines: The rows of the run's epochs and evaluations.
        session: The run.
    """
    metrics = {metric.name: metric for metric in tasks.module(session.task.name).METRICS}
    said = [*_stages(result["ledger"], session.plan)]
    said.append(f"best: epoch {result['best']['epoch'] + 1}, {_best(result['best'], metrics)}, checkpoints/best")
    if epochs := [line for line in lines if line["kind"] == "epoch"]:
        last, shown = epochs[-1], validation_metrics(session.plan.recipe, session.task)
        figures = {"loss": f"{last['loss']:.4f}", **validated(last, shown)}
        said.append(f"last: epoch {last['epoch'] + 1}, {_joined(figures)}")
    prefix = "test/"
    tested = {
        metrics[name].label: metrics[name].text(value)
        for key, value in result["metrics"].items()
        if key.startswith(prefix) and (name := key.removeprefix(prefix)) in metrics
    }
    if tested:
        said.append(f"test: {_joined(tested)}")
    return [*said, _total(result["ledger"])]


def _best(best: Mapping[str, Any], metrics: Mapping[str, Metric]) -> str:
    """What the best model was chosen by: `val top-1 76.55%`, or `last` where nothing was compared."""
    split, _, name = str(best["metric"]).rpartition("/")
    return f"{split} {metrics[name].label} {metrics[name].text(best['value'])}" if best["value"] is not None else name


def _stages(ledger: Mapping[str, Any], plan: Plan) -> Iterator[str]:
    """Each stage's cost, beside plain training; none where there is but one."""
    if len(plan.stages) < 2:
        return
    for stage, cost, spent in zip(plan.stages, plan.stage_costs, ledger["stages"], strict=False):
        first, last, flops = stage.first_epoch + 1, stage.first_epoch + stage.epochs, spent["flops"]
        epochs = f"epochs {first} to {last}" if last > first else f"epoch {first}"
        yield (
            f"stage {stage.index + 1}: {epochs} at {stage.sides_text} px, {flops / plan.plain_epoch_flops:.2f} FEE "
            f"(plain training {cost.plain_flops / plan.plain_epoch_flops:.2f}), {spent['samples_backpropagated']:,} "
            f"samples in {spent['optimizer_steps']:,} steps, {spent['seconds']['total']:.0f} s"
        )


def _total(ledger: Mapping[str, Any]) -> str:
    seconds = {key: value for key, value in ledger["seconds"].items() if key != "total" and value >= 0.5}
    parts = _joined({key.replace("_", " "): f"{value:.0f} s" for key, value in seconds.items()})
    cost = f"{ledger['full_epoch_equivalents']:.2f} FEE, {ledger['effective_epochs']:.2f} EE"
    if shared := ledger.get("shared_flops"):
        cost += (
            f"; {shared / ledger['flops']:.1%} of the operations are from the cache, where another run had left them"
        )
    return f"total: {ledger['seconds']['total']:.0f} s{f' ({parts})' if parts else ''}, {cost}"


def _joined(figures: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in figures.items())
