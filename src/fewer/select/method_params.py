"""Parameters that selection methods share: the classes that a method's `Params` is built upon."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from fewer.core.clock import Duration, Period
from fewer.core.config import AnyLength, Decay, Flag, Index, NonNegative, Section, Share, Side, Span
from fewer.core.registry import Registry
from fewer.select.oscillation import Oscillation
from fewer.select.registry import METHODS

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.population import Population

OpenShare = Annotated[float, Field(gt=0, le=1, strict=True)]


class MethodParams(Section):
    """Parameters that every method has."""

    named_parts: ClassVar[Mapping[str, Registry]] = {"method": METHODS}

    method: str = "full"
    """Which samples each epoch trains on; brings keys of its own."""
    revision: Span = Duration(0, "ep")
    """Final epochs on all data."""

    @property
    def needs_reference(self) -> bool:
        """Whether the method's choice depends on losses under a reference model."""
        return False

    @property
    def needs_proxy(self) -> bool:
        """Whether the method's choice is that of a small net, which goes through the run before."""
        return False

    @property
    def needs_shown(self) -> bool:
        """Whether the method's choice depends on the classes that images show, for which masks are read."""
        return False


class ChoiceParams(MethodParams):
    """Parameters of every method that leaves samples out."""

    cost: OpenShare | None = None
    """Share of the cost of training on everything (FEE, scoring included) that the run is to take, in place of the
    method's own amount; met within 1 %. Left out: the method's own amount."""
    batches: Literal["pack", "shrink"] = "pack"
    """`pack`: batches of constant size, fewer steps. `shrink`: as many steps as plain training, smaller batches."""
    oscillation: Decay = 0.0
    """How far the share that `cost` pays for goes down and up from epoch to epoch, as a part of itself (PODS, arXiv
    2605.14773): with 0.4 at `cost = 0.6` epochs train on 0.36 and 0.84 of the images in turn. The cost is met all the
    same. Where the upper share would be more than all images, the lower one makes up for it. 0: no oscillation."""
    oscillation_period: AnyLength = Period(2, "ep")
    """Time from one low to the next, in whole epochs: the first half of each period is low, the second high."""

    def swing(self, epochs: int) -> Oscillation:
        """How the share goes down and up in a run of so many epochs."""
        return Oscillation(self.oscillation, self.oscillation_period.whole_epochs(epochs))

    def conflicts(self, epochs: int) -> dict[str, str]:
        found = super().conflicts(epochs)
        if not self.oscillation:
            reason = "has no effect with select.oscillation = 0; leave it out, or state both, such as oscillation = 0.4"
            return found | self.changed(["oscillation_period"], reason)
        if self.cost is None:
            found["oscillation"] = "is of the share that select.cost pays for; state that, such as 0.6, or leave it out"
        with contextlib.suppress(ValueError):  # steps or minutes, which are refused elsewhere
            period = self.oscillation_period.whole_epochs(epochs)
            if not 2 <= period <= epochs:
                text = f"is {period} of the run's {epochs} epochs: a low and a high half need two or more, and no more"
                found["oscillation_period"] = f'{text} than there are; try "2ep", or leave select.oscillation out'
        return found


class Guards(Section):
    """What keeps a method that favours hard samples from harm; each is off at 0 or false, all with `guards = "off"`."""

    class_floor: Share = 0.05
    """Share of every class (two images at least) that an epoch holds, whatever the method says."""
    noise_cap: Share | Literal["auto"] = "auto"
    """Share of every class's images, those of the highest losses among the wrongly predicted, whose labels are
    suspected and which are left out. `auto`: as many as look wrong, nobody without evidence for it (losses in two
    groups, within classes that have been learnt, in two epochs in a row). A method that does not prefer high losses
    suspects nobody."""
    noise_from: Span = Duration(20, "%")
    """Before this, no label is suspected: early on, every loss is high."""
    never_empty: Flag = True
    """An epoch of which next to nothing would be left goes on with a few more samples, rather than end the run."""
    break_even: Flag = True
    """Warns where scoring costs more than selection saves."""

    def __str__(self) -> str:
        """As an inline table of TOML."""
        values = self.model_dump(mode="json").items()
        return "{" + ", ".join(f"{key} = {json.dumps(value)}" for key, value in values) + "}"


OFF = Guards(class_floor=0.0, noise_cap=0.0, never_empty=False, break_even=False)


def _guards(value: object) -> object:
    if not isinstance(value, dict | Guards | str):
        raise ValueError('"off" switches all guards off; single ones are keys of [select.guards]')
    if isinstance(value, str) and value != "off":
        raise ValueError('only "off" is a word for all guards; single ones are keys of [select.guards]')
    return OFF if value == "off" else value


class ScoredParams(ChoiceParams):
    """Parameters of methods that choose by what is known of each sample."""

    reads_scored: ClassVar[bool] = True
    """Whether the method looks at forward-only scores, and not only at what training left behind."""
    guards_itself: ClassVar[bool] = False
    """Whether the method sees to the guards by its own choice of what they stand around."""
    needs_looks: ClassVar[bool] = False
    """Whether the method lives on looks at single samples, so that the mean loss of a batch is no replacement."""
    recorded_refresh: ClassVar[int] = 0
    """The `refresh_every` that digests leave out: the default when the first were recorded."""

    score: Literal["stale", "batch"] = "stale"
    """`stale`: chosen before the epoch, from the last known scores. `batch`: likewise, and every sample is credited
    with a moving average of the mean loss and score of its batches, for tasks that give no loss of each sample."""
    refresh_every: Index = 0
    """Before each epoch a random 1/K of the samples that the last one left out is scored again; 0: never."""
    guards: Annotated[Guards, BeforeValidator(_guards)] = Guards()
    """What keeps the method from harm, each a key of its own; "off": nothing does."""
    rank_within: Literal["auto", "groups", "all"] = "auto"
    """`groups`: losses and scores are compared within the images' groups, and every group keeps its share of what a
    method takes; the groups are classes in classification, and bins of the number of objects in detection, where
    crowded images would else be hard by their size alone, and background easy. `all`: they are compared as they are.
    `auto`: within groups that are no classes."""

    @property
    def favours_hard(self) -> bool:
        """Whether the method prefers high losses, which wrong labels have, too: the noise guard applies."""
        return False

    @property
    def averages_batches(self) -> bool:
        """Whether samples are credited with the mean of their batches."""
        return self.score == "batch"

    @property
    def refreshes(self) -> int:
        """`refresh_every` where it has an effect, else 0: a look at single samples says nothing of batches."""
        return 0 if self.averages_batches else self.refresh_every

    def ranks_within(self, population: Population) -> bool:
        """Whether losses and scores are compared within the groups of this training set."""
        asked = self.rank_within
        return population.groups > 1 and (not population.groups_are_classes if asked == "auto" else asked == "groups")

    def conflicts(self, epochs: int) -> dict[str, str]:
        found = super().conflicts(epochs)
        if not self.reads_scored:
            found |= self.changed(["refresh_every"], "has no effect: what training left behind decides; leave it out")
        if self.averages_batches and self.needs_looks:
            found["score"] = f'is no use to "{self.method}", which lives on looks at single samples; leave it out'
        elif self.averages_batches and self.refresh_every not in (0, type(self).model_fields["refresh_every"].default):
            found["refresh_every"] = 'looks at single samples, which select.score = "batch" does not take; leave it out'
        return found


class InBatchParams(ScoredParams):
    """Parameters of methods that can score each batch with the current weights."""

    score: Literal["stale", "fresh", "batch"] = "stale"  # type: ignore[assignment]
    """`stale`: chosen before the epoch, from the last known scores. `fresh`: scored in the batch. `batch`: as `stale`,
    and every sample is credited with a moving average of the mean loss and score of its batches, for tasks that give no
    loss of each sample."""
    scoring: Literal["eval", "train"] = "eval"
    """`fresh`: mode of the scoring forward; published codes score in train mode."""
    scorer_side_px: Side | None = None
    """`fresh`: image side for scoring, to make it cheaper; left out: the side of training."""

    @property
    def is_fresh(self) -> bool:
        """Whether each batch is scored with the current weights."""
        return self.score == "fresh"

    def conflicts(self, epochs: int) -> dict[str, str]:
        found = super().conflicts(epochs)
        if not self.is_fresh:
            reason = f'has no effect with select.score = "{self.score}"; leave it out, or set select.score = "fresh"'
            found |= self.changed(("scoring", "scorer_side_px"), reason)
        elif self.refresh_every not in (0, type(self).model_fields["refresh_every"].default):
            found["refresh_every"] = 'scores again what select.score = "fresh" scores in every batch; leave it out'
        return found

    @property
    def refreshes(self) -> int:
        return 0 if self.is_fresh else super().refreshes


REFRESHED: Index = 4
"""The `refresh_every` of methods that would else never look again at what they leave out."""


class ThresholdParams(Section):
    """Parameters of methods that call a sample hard by a threshold on its score."""

    threshold: OpenShare = 0.3
    """Samples with a score below this are hard; 1 keeps all."""
    rule: Literal["score", "score_or_wrong"] = "score"
    """`score`: score < threshold, the published code. `score_or_wrong`: or wrongly predicted, the published text."""

    def hard(self, score_M: Tensor, right_M: Tensor) -> Tensor:
        """Which samples the rule calls hard, a mask; those without a score are among them.

        Args:
            score_M: Their scores.
            right_M: Whether each is predicted rightly.
        """
        hard_M = ~(score_M >= self.threshold) | (self.threshold == 1)
        return hard_M | ~right_M if self.rule == "score_or_wrong" else hard_M

    def hardness(self, score_M: Tensor, right_M: Tensor) -> Tensor:
        """What samples are ranked by: what is wrongly predicted comes first where the rule says so."""
        return -score_M + ~right_M if self.rule == "score_or_wrong" else -score_M


class WeightParams(Section):
    """Parameters of methods that draw samples with known probabilities."""

    weights: Literal["none", "inclusion"] = "none"
    """`inclusion`: a sample that was drawn with probability p weighs 1/p, so that the expected sum of gradients is that
    of all samples (Horvitz and Thompson 1952). Samples that a guard adds weigh 1."""
    clip_weights: NonNegative = 10.0
    """Largest weight; 0: no limit, and no bias."""
    self_normalise: Flag = False
    """Divide the weights of an epoch (of a batch, where it is chosen from fresh scores) by their mean: less variance, a
    small bias. Batches that shrink always have it: there are as many as plain training's."""
