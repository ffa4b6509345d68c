"""Statistics over paired seeds: intervals, the matched-cost curve, and the verdict on a variant. Free of torch.

A seed gives every arm the same first weights, order of images and augmentation, so what is tested is the mean of the
differences of the same seed. It has two sources of chance, the seeds and the images that judge, and an interval is the
wider of two: Student's t of the seeds' differences, and the normal interval of the images' binomial noise. The second
keeps a few equal differences from passing for certainty (ADR 0038).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

CONFIDENCE = 0.95
CHEAPER = 0.95  # of the baseline's cost, at most: a smaller saving is not worth a method and its settings
SEEDS_LEAST = 3  # for a verdict: the spread of two says next to nothing
SEEDS_OF_IMAGES = 5  # seeds share their images: noise of the images averages out over so many seeds at most
TIMES_MOST = 100  # as many images nobody labels
POWER = 0.8  # of the test, with the stated number of seeds
SEEDS_MOST = 200  # nobody trains more
_EQUAL = 1e-9  # a spread over an effect that is rounding alone
EDGE = 0.01  # share by which a cost may lie beyond a curve's ends and still be compared with the end


@dataclass(frozen=True)
class Sample:
    """Mean of values over seeds, with its bounds.

    Attributes:
        values: One for each seed.
        noise: Standard deviation of one value that comes from the choice of the evaluation images; 0 if unknown.
        low, high: The two-sided interval at `CONFIDENCE`; None for one value alone.
        least, most: The one-sided bounds, each by itself at `CONFIDENCE`.
    """

    values: tuple[float, ...]
    mean: float
    noise: float
    low: float | None
    high: float | None
    least: float | None
    most: float | None

    @classmethod
    def of(cls, values: Sequence[float], noise: float = 0.0) -> Sample | None:
        """The sample of some values; None without values."""
        n = len(values)
        if not n:
            return None
        mean = math.fsum(values) / n
        if n == 1:
            return cls(tuple(values), mean, noise, None, None, None, None)
        deviation = _deviation(values, mean)
        both, one = (max(_seeds_half(n, deviation, p), _images_half(n, noise, p)) for p in (_TWO_SIDED, CONFIDENCE))
        return cls(tuple(values), mean, noise, mean - both, mean + both, mean - one, mean + one)

    @property
    def decides(self) -> bool:
        """Whether there are seeds enough for a verdict."""
        return len(self.values) >= SEEDS_LEAST

    def above(self, limit: float) -> bool:
        """Whether the mean certainly lies above a limit, by the one-sided test."""
        return self.decides and self.least is not None and self.least > limit

    def below(self, limit: float) -> bool:
        """Whether the mean certainly lies below a limit, by the one-sided test."""
        return self.decides and self.most is not None and self.most < limit

    def seeds_needed(self, limit: float) -> int | None:
        """Number of seeds that would decide with `POWER` on which side of a limit the mean lies, if it is as estimated.

        None if unknown: from one value, or for more than `SEEDS_MOST`.
        """
        n, effect = len(self.values), abs(self.mean - limit)
        if not effect or n < 2:
            return None
        spread = _deviation(self.values, self.mean)
        from scipy.special import nctdtr, stdtrit

        for more in range(max(SEEDS_LEAST, n + 1), SEEDS_MOST + 1):
            power = 1.0  # of seeds that are equal but for rounding, for which the distribution is not defined
            if spread > _EQUAL * effect:
                power -= nctdtr(more - 1, effect / spread * math.sqrt(more), stdtrit(more - 1, CONFIDENCE))
            if power >= POWER and effect > _images_half(more, self.noise, CONFIDENCE):
                return more
        return None

    def images_times(self, limit: float) -> float | None:
        """How many times the evaluation images would decide, where more seeds alone cannot; None where they can."""
        effect = abs(self.mean - limit)
        times = (_images_half(SEEDS_MOST, self.noise, CONFIDENCE) / effect) ** 2 if effect else math.inf
        return times if 1 < times <= TIMES_MOST else None


_TWO_SIDED = (1 + CONFIDENCE) / 2


def _seeds_half(n: int, deviation: float, p: float) -> float:
    """Half of an interval by the spread over seeds, by Student's t."""
    from scipy.special import stdtrit  # the quantile; scipy.stats takes a second to import

    return float(stdtrit(n - 1, p)) * deviation / math.sqrt(n)


def _images_half(n: int, noise: float, p: float) -> float:
    """Half of an interval by the noise of the evaluation images, by the normal distribution."""
    return NormalDist().inv_cdf(p) * noise / math.sqrt(min(n, SEEDS_OF_IMAGES))


def _deviation(values: Sequence[float], mean: float) -> float:
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def binomial_variance(share: float, images: int) -> float:
    """Variance of a share of so many images, such as an accuracy, over the choice of the images.

    With one image more of each outcome (Agresti and Caffo, 2000): all of 72 images right is no proof of 100 %.
    """
    likely = (share * images + 1) / (images + 2)
    return likely * (1 - likely) / images


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


def paired(values: Mapping[int, float], others: Mapping[int, float], sign: int = 1, images: int = 0) -> Sample | None:
    """The differences of two arms over the seeds that both have.

    The noise is that of two independent shares. Two models err on the same images more often than by chance, so the
    paired difference has less; what is left over pays for images that all seeds of one arm get wrong.

    Args:
        values: The metric of every seed.
        others: The other arm's.
        sign: -1 where less is better.
        images: That the values are shares of; 0 for other metrics, whose noise is unknown.
    """
    seeds = [seed for seed in sorted(values) if seed in others]
    both = [arm[seed] for seed in seeds for arm in (values, others)]
    variance = math.fsum(binomial_variance(share, images) for share in both) / len(seeds) if images and seeds else 0.0
    return Sample.of([sign * (values[seed] - others[seed]) for seed in seeds], math.sqrt(variance))


def over_curve(
    values: Mapping[int, float],
    costs: Mapping[int, float],
    curves: Mapping[int, Points],
    sign: int = 1,
    images: int = 0,
) -> Sample | None:
    """The gain of an arm over each seed's own curve, at the arm's own cost.

    None if a cost lies beyond its curve: leaving such seeds out would choose seeds by their cost.

    Args:
        values: The metric of every seed.
        costs: The cost of every seed.
        curves: Of plain training, or another; seeds without one are left out.
        sign: As for `paired`.
        images: As for `paired`.
    """
    reached = {seed: at_cost(curves[seed], costs[seed]) for seed in values if seed in curves}
    met = {seed: value for seed, value in reached.items() if value is not None}
    return paired(values, met, sign, images) if len(met) == len(reached) else None


def whole_curves(arms: Sequence[Mapping[int, tuple[float, float]]]) -> dict[int, Points]:
    """Each seed's curve, from cost and metric of every budget's seeds.

    A seed with a missing run has no curve: a straight line over the gap would lie below the missing point. A budget
    all of whose runs failed leaves no seed a curve.
    """
    seeds = set.intersection(*map(set, arms)) if len(arms) > 1 else set()
    return {seed: [arm[seed] for arm in arms] for seed in sorted(seeds)}


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
    if cost <= CHEAPER and difference.above(-evidence.margin):
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
    return _undecided([(difference, -evidence.margin), *([(equal, 0.0)] if equal else [])])


def _undecided(asked: Sequence[tuple[Sample, float]]) -> Verdict:
    """What would decide, by whichever of the questions is nearer to an answer."""
    if not asked[0][0].decides:
        return Verdict(f"undecided: a verdict takes {SEEDS_LEAST} seeds or more", seeds_needed=SEEDS_LEAST)
    seeds = [found for sample, limit in asked if (found := sample.seeds_needed(limit))]
    if seeds:
        return Verdict(f"undecided: n too small (about {min(seeds)} seeds would decide)", seeds_needed=min(seeds))
    times = [more for sample, limit in asked if (more := sample.images_times(limit))]
    if times:
        return Verdict(f"undecided: too few images (about {math.ceil(min(times))} times as many would decide)")
    return Verdict(f"undecided: n too small (too close to the margin for {SEEDS_MOST} seeds)")


def _no_saving(evidence: Evidence) -> str:
    """The reason why nothing is saved; "" if that is not certain."""
    difference, equal, cost = evidence.difference, evidence.at_equal_cost, evidence.cost
    if cost is not None and cost > CHEAPER:
        least = f"; {CHEAPER:g} or less would be one" if cost < 1 else ""
        digits = next((n for n in range(2, 9) if round(cost, n) > CHEAPER), 9)  # 0.951 must not look like the limit
        return f"{cost:.{digits}f} of the cost{least}"
    if equal is not None and equal.below(0):
        return "plain training, shortened to that cost, is better"
    if difference is not None and difference.below(-evidence.margin):
        return f"worse than plain by more than {100 * evidence.margin:g} points"
    return ""
