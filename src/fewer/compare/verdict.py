"""Statistics over paired seeds: intervals, the matched-cost curve, and the verdict on a variant. Free of torch.

A seed gives every arm the same first weights, order of images and augmentation, so what is tested is the mean of the
differences of the same seed: Student's t with n - 1 degrees of freedom, which takes them as roughly normal.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

CONFIDENCE = 0.95
CHEAPER = 0.995  # of the baseline's cost: a share that rounds to 1.00 saves nothing
POWER = 0.8  # of the test, with the stated number of seeds
SEEDS_MOST = 200  # nobody trains more
EDGE = 0.01  # share by which a cost may lie beyond a curve's ends and still be compared with the end


@dataclass(frozen=True)
class Sample:
    """Mean of values over seeds, with its bounds.

    Attributes:
        values: One for each seed.
        low, high: The two-sided interval at `CONFIDENCE`; None for one value alone.
        least, most: The one-sided bounds, each by itself at `CONFIDENCE`.
    """

    values: tuple[float, ...]
    mean: float
    low: float | None
    high: float | None
    least: float | None
    most: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample | None:
        """The sample of some values; None without values."""
        n = len(values)
        if not n:
            return None
        mean = math.fsum(values) / n
        if n == 1:
            return cls(tuple(values), mean, None, None, None, None)
        from scipy.special import stdtrit  # the quantile of Student's t; scipy.stats takes a second to import

        error = _deviation(values, mean) / math.sqrt(n)
        both, one = (float(stdtrit(n - 1, p)) * error for p in ((1 + CONFIDENCE) / 2, CONFIDENCE))
        return cls(tuple(values), mean, mean - both, mean + both, mean - one, mean + one)

    def above(self, limit: float) -> bool:
        """Whether the mean lies above a limit, by the one-sided test."""
        return self.least is not None and self.least > limit

    def below(self, limit: float) -> bool:
        """Whether the mean lies below a limit, by the one-sided test."""
        return self.most is not None and self.most < limit

    def seeds_needed(self, limit: float) -> int | None:
        """Number of seeds that would decide with `POWER` on which side of a limit the mean lies, if it is as estimated.

        None if unknown: from one value, without any spread, or for more than `SEEDS_MOST`.
        """
        n = len(self.values)
        spread = _deviation(self.values, self.mean) if n > 1 else 0.0
        effect = abs(self.mean - limit) / spread if spread else 0.0
        if not effect:
            return None
        from scipy.special import nctdtr, stdtrit

        for more in range(max(2, n + 1), SEEDS_MOST + 1):
            if 1 - nctdtr(more - 1, effect * math.sqrt(more), stdtrit(more - 1, CONFIDENCE)) >= POWER:
                return more
        return None


def _deviation(values: Sequence[float], mean: float) -> float:
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


Points = Sequence[tuple[float, float]]  # cost and metric, of one seed


def at_cost(points: Points, cost: float) -> float | None:
    """The metric of plain training at a cost: linear between two budgets, None beyond the first and the last."""
    ordered = sorted(points)
    if len(ordered) < 2:
        return None
    (first, lowest), (last, highest) = ordered[0], ordered[-1]
    if not first <= cost <= last:
        near = first * (1 - EDGE) <= cost < first, last < cost <= last * (1 + EDGE)
        return lowest if near[0] else highest if near[1] else None
    for (left, below), (right, above) in itertools.pairwise(ordered):
        if cost <= right:
            return above if right == left else below + (above - below) * (cost - left) / (right - left)
    return highest


def paired(values: Mapping[int, float], others: Mapping[int, float], sign: int = 1) -> Sample | None:
    """The differences of two arms over the seeds that both have; with sign -1 less is better."""
    return Sample.of([sign * (values[seed] - others[seed]) for seed in sorted(values) if seed in others])


def over_curve(
    values: Mapping[int, float], costs: Mapping[int, float], curves: Mapping[int, Points], sign: int = 1
) -> Sample | None:
    """The gain of an arm over each seed's own curve, at the arm's own cost.

    None if a cost lies beyond its curve: leaving such seeds out would choose seeds by their cost.

    Args:
        values: The metric of every seed.
        costs: The cost of every seed.
        curves: Of plain training, or another; seeds without one are left out.
        sign: -1 for a metric where less is better.
    """
    reached = {seed: at_cost(curves[seed], costs[seed]) for seed in values if seed in curves}
    met = {seed: value for seed, value in reached.items() if value is not None}
    return paired(values, met, sign) if len(met) == len(reached) else None


def whole_curves(arms: Sequence[Mapping[int, tuple[float, float]]]) -> dict[int, Points]:
    """Each seed's curve, from cost and metric of every budget's seeds.

    A seed with a missing run has no curve: a straight line over the gap would lie below the missing point.
    """
    there = [arm for arm in arms if arm]
    seeds = set.intersection(*(set(arm) for arm in there)) if len(there) > 1 else set()
    return {seed: [arm[seed] for arm in there] for seed in sorted(seeds)}


@dataclass(frozen=True)
class Verdict:
    """Verdict on a variant.

    Attributes:
        text: The verdict as a phrase.
        holds: Those of "non-inferior" and "beats plain" that hold.
        seeds_needed: Number of seeds that would probably decide, if it is undecided and the number can be estimated.
    """

    text: str
    holds: tuple[str, ...] = ()
    seeds_needed: int | None = None


@dataclass(frozen=True)
class Evidence:
    """Evidence for a verdict; in all differences more is better.

    Attributes:
        cost: FEE over that of the baseline.
        difference: From the baseline, seed by seed.
        at_equal_cost: From plain training of the same FEE; None if no curve reaches it.
        failed, runs: Number of the variant's failed runs, and of all its runs.
    """

    cost: float | None
    difference: Sample | None
    at_equal_cost: Sample | None
    failed: int
    runs: int
    margin: float = field(default=0.005)


def judge(evidence: Evidence) -> Verdict:
    """The verdict; docs/compare.md has the rules in words, in this order."""
    difference, equal, cost = evidence.difference, evidence.at_equal_cost, evidence.cost
    if evidence.failed:
        return Verdict(f"failed: {evidence.failed} of {evidence.runs} runs")
    if difference is None or cost is None:
        return Verdict("unfinished")
    holds, phrases = [], []
    if cost < CHEAPER and difference.above(-evidence.margin):
        holds.append("non-inferior")
        phrases.append(f"non-inferior at {cost:.2f} of the cost")
    if equal is not None and equal.above(0):
        holds.append("beats plain")
        phrases.append("beats plain at equal cost")
    if holds:
        shorter = equal is not None and equal.below(0)
        caveat = ["but plain training, shortened to that cost, is better"] if shorter else []
        return Verdict(", ".join([" and ".join(phrases), *caveat]), tuple(holds))
    if reason := _no_saving(evidence):
        return Verdict(f"no saving: {reason}")
    asked = [difference.seeds_needed(-evidence.margin), equal.seeds_needed(0) if equal else None]
    needed = min((seeds for seeds in asked if seeds), default=None)
    more = f" (about {needed} seeds would decide)" if needed else ""
    if not needed and len(difference.values) > 1:
        more = f" (too close to the margin for {SEEDS_MOST} seeds)"
    return Verdict(f"undecided: n too small{more}", seeds_needed=needed)


def _no_saving(evidence: Evidence) -> str:
    """The reason why nothing is saved; "" if that is not certain."""
    difference, equal, cost = evidence.difference, evidence.at_equal_cost, evidence.cost
    if cost is not None and cost >= CHEAPER:
        return f"{cost:.2f} of the cost"
    if equal is not None and equal.below(0):
        return "plain training, shortened to that cost, is better"
    if difference is not None and difference.below(-evidence.margin):
        return f"worse than plain by more than {100 * evidence.margin:g} points"
    return ""
