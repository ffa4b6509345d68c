"""Results of a comparison as one document, the content of `compare.json`: quality, cost and verdict of every arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fewer.compare.arms import Arm
from fewer.compare.grid import Cell
from fewer.compare.verdict import Evidence, Points, Sample, judge, over_curve, paired, whole_curves
from fewer.report.metrics import Metrics

SCHEMA = 1
Axis = Literal["full_epoch_equivalents", "seconds"]
COSTS = ("effective_epochs", "full_epoch_equivalents", "seconds", "optimizer_steps")
BySeed = dict[int, float]


@dataclass(frozen=True)
class Criteria:
    """Criteria by which the runs are judged.

    Attributes:
        metric: The deciding metric, such as `val/top1`.
        margin: Loss of quality that still counts as none, in points: hundredths of the metric.
        seeds: The seeds of every arm.
        plain_epoch_flops: One plain epoch of the baseline: the unit of every arm's FEE.
        images: How many images judge.
        task: Its name and metrics, as `fewer.tasks.description` gives them; left out: a classifier's.
    """

    metric: str
    margin: float
    seeds: Sequence[int]
    plain_epoch_flops: float
    images: int
    task: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sign(self) -> int:
        """-1 for a metric where less is better."""
        return Metrics(self.task)[self.metric].sign

    @property
    def counted(self) -> int:
        """The images that the metric is a share of; 0 for a loss, and for objects and pixels."""
        metrics = Metrics(self.task)
        return self.images if metrics.primary.counts_images and metrics[self.metric].is_share else 0


class Results:
    """The finished runs of a comparison, by arm and seed."""

    def __init__(self, criteria: Criteria, arms: Sequence[Arm], cells: Sequence[Cell]) -> None:
        self.criteria, self.arms, self.cells = criteria, arms, cells
        self._cells: dict[str, list[Cell]] = {}
        for cell in cells:
            self._cells.setdefault(cell.arm.key, []).append(cell)

    def of(self, arm: Arm) -> list[Cell]:
        """An arm's runs, ordered by seed."""
        return sorted(self._cells.get(arm.key, []), key=lambda cell: cell.seed)

    def metric(self, arm: Arm, name: str = "") -> BySeed:
        """A metric of an arm's finished runs; the deciding one if left out."""
        found = {cell.seed: cell.result.get("metrics", {}).get(name or self.criteria.metric) for cell in self.of(arm)}
        return {seed: float(value) for seed, value in found.items() if value is not None}

    def cost(self, arm: Arm, name: str) -> BySeed:
        """One of `COSTS`, FEE in units of the baseline's plain epoch."""
        return {cell.seed: self.spent(cell)[name] for cell in self.of(arm) if cell.state == "done"}

    def spent(self, cell: Cell) -> dict[str, float]:
        """The cost of a finished run."""
        ledger = cell.result["ledger"]
        return {
            "effective_epochs": ledger["effective_epochs"],
            "full_epoch_equivalents": ledger["flops"] / self.criteria.plain_epoch_flops,
            "seconds": ledger["seconds"]["total"],
            "optimizer_steps": ledger["optimizer_steps"],
        }

    def shared(self, arm: Arm) -> float:
        """The largest share of its operations that a run of an arm took from another run: its seconds lack them."""
        ledgers = [cell.result["ledger"] for cell in self.of(arm) if cell.state == "done"]
        return max((each.get("shared_flops", 0) / each["flops"] for each in ledgers if each["flops"]), default=0.0)

    def curve(self, kind: Literal["plain", "random"], axis: Axis) -> dict[int, Points]:
        """Cost and metric of each seed's runs at every budget; all of the data is the last point of both curves."""
        arms = [arm for arm in self.arms if arm.kind in (kind, "baseline")]
        return whole_curves([self._points(arm, axis) for arm in arms])

    def _points(self, arm: Arm, axis: Axis) -> dict[int, tuple[float, float]]:
        metric, cost = self.metric(arm), self.cost(arm, axis)
        return {seed: (cost[seed], metric[seed]) for seed in metric}

    def over_curve(self, arm: Arm, kind: Literal["plain", "random"], axis: Axis) -> Sample | None:
        """The gain of an arm over a curve at the arm's own cost, seed by seed."""
        criteria = self.criteria
        curves = self.curve(kind, axis)
        return over_curve(self.metric(arm), self.cost(arm, axis), curves, criteria.sign, criteria.counted)

    def over_baseline(self, arm: Arm) -> Sample | None:
        criteria = self.criteria
        return paired(self.metric(arm), self.metric(self.arms[0]), criteria.sign, criteria.counted)


def summarised(results: Results) -> dict[str, Any]:
    """The document."""
    criteria = results.criteria
    return {
        "schema": SCHEMA,
        "metric": criteria.metric,
        "task": criteria.task,
        "margin": criteria.margin,
        "images": criteria.images,
        "seeds": list(criteria.seeds),
        "runs": {"asked": len({arm.key for arm in results.arms}) * len(criteria.seeds), "there": len(results.cells)},
        "plain_epoch_flops": criteria.plain_epoch_flops,
        "epochs": results.arms[0].recipe.epochs,
        "arms": [_arm(results, arm) for arm in results.arms],
    }


def _arm(results: Results, arm: Arm) -> dict[str, Any]:
    cells = results.of(arm)
    failed = [cell for cell in cells if cell.state == "failed"]
    names = sorted({name for cell in cells for name in cell.result.get("metrics", {})})
    costs = {name: _estimate(Sample.of(list(results.cost(arm, name).values()))) for name in COSTS}
    entry: dict[str, Any] = {
        "name": arm.name,
        "kind": arm.kind,
        "changes": dict(arm.variant.changes),
        "left_out": list(arm.variant.left_out),
        **({"budget_epochs": arm.epochs} if arm.epochs else {}),
        "runs": len(cells),
        "failed": [{"seed": cell.seed, "message": cell.message} for cell in failed],
        "metrics": {name: _estimate(Sample.of(list(results.metric(arm, name).values()))) for name in names},
        **costs,
        "shared": results.shared(arm),
    }
    if arm.kind != "baseline":
        entry |= _compared(results, arm)
    return entry


def _compared(results: Results, arm: Arm) -> dict[str, Any]:
    """An arm beside the baseline and the curves; variants are judged."""
    difference = results.over_baseline(arm)
    fee, baseline_fee = (results.cost(each, "full_epoch_equivalents") for each in (arm, results.arms[0]))
    ratio = Sample.of([fee[seed] / baseline_fee[seed] for seed in fee if seed in baseline_fee])
    found: dict[str, Any] = {"cost": ratio.mean if ratio else None, "difference": _estimate(difference)}
    if arm.kind != "variant":
        return found
    equal = results.over_curve(arm, "plain", "full_epoch_equivalents")
    seconds = results.over_curve(arm, "plain", "seconds")
    cells = results.of(arm)
    failed = sum(cell.state == "failed" for cell in cells)
    margin = results.criteria.margin / 100
    verdict = judge(Evidence(found["cost"], difference, equal, failed, len(cells), margin))
    return {
        **found,
        "over_plain_at_equal_fee": _estimate(equal),
        "over_plain_at_equal_seconds": None if results.shared(arm) else _estimate(seconds),
        "over_random_at_equal_fee": _estimate(results.over_curve(arm, "random", "full_epoch_equivalents")),
        "verdict": verdict.text,
        "holds": list(verdict.holds),
        "seeds_needed": verdict.seeds_needed,
    }


def _estimate(sample: Sample | None) -> dict[str, Any] | None:
    if sample is None:
        return None
    bounds = {key: getattr(sample, key) for key in ("low", "high", "least", "most")}
    return {"mean": sample.mean, **bounds, "n": len(sample.values)}


def chosen(summary: Mapping[str, Any]) -> list[str]:
    """Names of the variants to confirm: of those that passed, the best and the cheapest."""
    passed = [arm for arm in summary["arms"] if arm.get("holds")]
    if not passed:
        return []
    sign = Metrics(summary["task"])[summary["metric"]].sign
    best = max(passed, key=lambda arm: sign * arm["metrics"][summary["metric"]]["mean"])
    cheapest = min(passed, key=lambda arm: arm["cost"])
    return list(dict.fromkeys([best["name"], cheapest["name"]]))
