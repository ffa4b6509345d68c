"""Variants of a study beside plain training of the same cost: runs by variant and seed, differences, verdicts."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from fewer.compare.verdict import Evidence, Sample, judge, over_curve, paired, whole_curves

Line = dict[str, Any]
Arm = dict[int, Line]  # the runs of a variant, by seed
_PLAIN = re.compile(r"plain( [\d.]+|, [\d.]+ of the epochs)?")  # of all epochs, or of so many


def arms_of(lines: Sequence[Line]) -> dict[str, Arm]:
    """The runs of each variant by seed."""
    arms: dict[str, Arm] = {}
    for line in lines:
        arms.setdefault(line["variant"], {})[line["seed"]] = line
    return arms


def plain_of(arms: Mapping[str, Arm]) -> dict[str, Arm]:
    """Plain training of each length."""
    return {name: runs for name, runs in arms.items() if _PLAIN.fullmatch(name)}


def fee(runs: Arm) -> float:
    """Mean full-epoch equivalents over seeds."""
    return statistics.fmean(run.get("full_epoch_equivalents", 0.0) for run in runs.values())


def seconds(runs: Arm) -> float:
    """Median over seeds."""
    return statistics.median(run["seconds"]["total"] for run in runs.values())


def time_ratio(runs: Arm, others: Arm) -> float | None:
    """Median over seeds of the seconds of one arm over those of another, of pairs made on one machine and day."""
    pairs = [(runs[seed], others[seed]) for seed in runs.keys() & others.keys()]
    ratios = [
        run["seconds"]["total"] / other["seconds"]["total"]
        for run, other in pairs
        if run["machine"] == other["machine"]
    ]
    return statistics.median(ratios) if ratios else None


def finished(runs: Arm) -> Arm:
    """Those that did not fail."""
    return {seed: run for seed, run in runs.items() if "error" not in run}


def over_plain(done: Arm, plain: Mapping[str, Arm], metric: str, images: int = 0) -> Sample | None:
    """The mean difference from plain training of the same cost, seed by seed; None where no length reaches it.

    Left out, `images` leaves their noise out of the interval.
    """
    values = {seed: run["metrics"][metric] for seed, run in done.items()}
    costs = {seed: run["full_epoch_equivalents"] for seed, run in done.items()}
    budgets = [
        {seed: (run["full_epoch_equivalents"], run["metrics"][metric]) for seed, run in finished(arm).items()}
        for arm in plain.values()
    ]
    return over_curve(values, costs, whole_curves(budgets), images=images)


def judged(name: str, runs: Arm, plain: Mapping[str, Arm], metric: str, images: int = 0) -> tuple[str, str]:
    """Difference from plain training at equal cost with its interval, and the verdict; the curve has neither.

    Args:
        name: Of the variant.
        runs: Its runs, failed ones included.
        plain: Plain training of each length.
        metric: What decides.
        images: That test; 0 where the metric is no share of them.
    """
    if name in plain:
        return "–", "plain training" if name == "plain" else "plain training, shortened"
    done = finished(runs)
    values, full = ({seed: run["metrics"][metric] for seed, run in each.items()} for each in (done, plain["plain"]))
    difference, over_full = over_plain(done, plain, metric, images), paired(values, full, images=images)
    cost = fee(done) / fee(plain["plain"])
    verdict = judge(Evidence(cost, over_full, difference, len(runs) - len(done), len(runs))).text
    return ("–" if difference is None else points(difference)), verdict


def points(difference: Sample) -> str:
    """A difference in points, with half of its interval where there are several seeds."""
    half = "" if difference.high is None else f" ± {100 * (difference.high - difference.mean):.2f}"
    return f"{100 * difference.mean:+.2f}{half}"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean, and the standard deviation over seeds where there are several."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table without a final newline."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def table(lines: Sequence[Line], metrics: Mapping[str, str], images: int = 0) -> str:
    """A row a variant, by cost: metrics, difference from plain training of the same cost, costs, verdict.

    Args:
        lines: The runs of a study.
        metrics: What readers call them, by name; the first decides.
        images: As for `judged`.
    """
    arms = arms_of(lines)
    plain, rows = plain_of(arms), []
    for name, runs in sorted(arms.items(), key=lambda arm: fee(arm[1])):
        if not (done := finished(runs)):
            rows.append((name, str(len(runs)), "failed", *[""] * (len(metrics) + 5)))
            continue
        told = [spread([100 * run["metrics"][key] for run in done.values()]) for key in metrics]
        at_equal, verdict = judged(name, runs, plain, next(iter(metrics)), images)
        effective = statistics.fmean(run["effective_epochs"] for run in done.values())
        costs = (f"{effective:.2f}", f"{fee(done):.2f}", f"{seconds(done):.0f}")
        rows.append((name, str(len(done)), *told, at_equal, *costs, verdict))
    names = [f"{name}, %" for name in metrics.values()]
    return markdown(("variant", "seeds", *names, "over plain at equal FEE", "EE", "FEE", "s", "verdict"), rows)
