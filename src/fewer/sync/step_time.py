"""The model of the time that a step takes with a sync method.

    T(H) = C + E + S / H

C is what any method computes in a step: images, forward, backward, update. E is what a method adds to every step, and
S what it adds to the step that ends a round of H local steps: its own computing, such as compression, and the time for
which it waits for exchanges. That is their whole time, but for one that goes on while gradients are computed: there it
is `max(0, X - V)`, its time X less the computing V meanwhile. (Hence the rule of fairscale's SlowMo: local steps pay
where an all-reduce takes longer than the backward that hides it.)
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace


@dataclass(frozen=True, slots=True)
class Added:
    """What a sync method adds to a step, or to the step that ends a round.

    Attributes:
        own_seconds: Its own computing.
        exchange_seconds: What its exchanges take on the network.
        waited_seconds: What of that the process waits for.
        sent_bytes: What a worker sends, as the ledger books it.
        exchanges: How many collective operations.
    """

    own_seconds: float = 0.0
    exchange_seconds: float = 0.0
    waited_seconds: float = 0.0
    sent_bytes: float = 0.0
    exchanges: float = 0.0

    @classmethod
    def typical(cls, steps: Sequence[Added]) -> Added:
        """The median of several steps, number by number."""
        return cls(*map(statistics.median, zip(*map(astuple, steps), strict=True)))

    @property
    def seconds(self) -> float:
        return self.own_seconds + self.waited_seconds

    def plus(self, other: Added, times: float = 1.0) -> Added:
        """With so many times what another adds; no number is below 0."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Added(*(max(0.0, mine + times * theirs) for mine, theirs in pairs))


@dataclass(frozen=True, slots=True)
class StepTime:
    """The time of a step with a sync method.

    Attributes:
        compute_seconds: C, what any method computes.
        each: E, what this one adds to every step.
        sync: S, what it adds to the step that ends a round.
    """

    compute_seconds: float
    each: Added
    sync: Added = Added()

    @classmethod
    def of_round(cls, compute_seconds: float, steps: Sequence[Sequence[Added]]) -> StepTime:
        """From what was added to steps, by their place in a round: several rounds of equal length."""
        *inner, last = [Added.typical(place) for place in zip(*steps, strict=True)]
        if not inner:
            return cls(compute_seconds, last)
        each = Added.typical(inner)
        return cls(compute_seconds, each, last.plus(each, -1.0))

    @property
    def own_seconds(self) -> tuple[float, float, float]:
        """What is computed: by any method, by this one in every step, and by this one behind a round."""
        return self.compute_seconds, self.each.own_seconds, self.sync.own_seconds

    def with_own(self, compute: float, each: float, sync: float) -> StepTime:
        """The same with other numbers in the place of `own_seconds`."""
        return StepTime(compute, replace(self.each, own_seconds=each), replace(self.sync, own_seconds=sync))

    def added(self, local_steps: int = 1) -> Added:
        """What is added to a step in the mean over a round of so many steps."""
        return self.each.plus(self.sync, 1 / local_steps)

    def seconds(self, local_steps: int = 1) -> float:
        """Of a step in the mean over a round of so many steps."""
        return self.compute_seconds + self.added(local_steps).seconds
