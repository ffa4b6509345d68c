"""What selection methods share: common keys, and a base class that chooses before the epoch and keeps no state."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from fewer.core.clock import Duration
from fewer.core.config import Flag, Index, NonNegative, Section, Share, Side, Span
from fewer.core.types import At, Column, Expectation, KeepMask, Observed, Population, Selection, State
from fewer.select.sampling import sample_uniformly, top_k_per_class

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

OpenShare = Annotated[float, Field(gt=0, le=1, strict=True)]


class MethodParams(Section):
    """Parameters that every method has."""

    method: str
    revision: Span = Duration(0, "ep")
    """Final epochs on all data."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        """Keys that are right one by one but not together, or not in a run of so many epochs.

        Returns:
            Key to a sentence that goes on after `select.KEY = VALUE`, and says what is allowed or names a fix.
        """
        return {}

    def changed(self, keys: Iterable[str], reason: str) -> dict[str, str]:
        """Those of some keys that are not at their default, each with the same reason why it should be."""
        return {key: reason for key in keys if getattr(self, key) != type(self).model_fields[key].default}


class ChoiceParams(MethodParams):
    """Parameters of every method that leaves samples out."""

    cost: OpenShare | None = None
    """Share of the cost of training on everything (FEE, scoring included) that the run is to take, in place of the
    method's own amount; met within 1 %. Left out: the method's own amount."""
    batches: Literal["pack", "shrink"] = "pack"
    """`pack`: batches of constant size, fewer steps. `shrink`: as many steps as plain training, smaller batches."""


class Guards(Section):
    """What keeps a method that favours hard samples from harm; each is off at 0 or false, all with `guards = "off"`."""

    class_floor: Share = 0.05
    """Share of every class (two images at least) that an epoch holds, whatever the method says."""
    noise_cap: Share | Literal["auto"] = 0.05
    """Share of every class's images, those of the highest losses among the wrongly predicted, whose labels are
    suspected and which are left out; `auto`: estimated from the losses, nothing where they do not fall into two
    groups. A method that does not prefer high losses suspects nobody."""
    noise_from: Span = Duration(20, "%")
    """Before this, no label is suspected: early on, every loss is high."""
    never_empty: Flag = True
    """An epoch of which next to nothing would be left goes on with a few more samples, rather than end the run."""
    batchnorm_images: Index = 2048
    """Training images that BatchNorm's statistics are estimated from anew, before an evaluation or hand-over that
    follows an epoch on a part of the data."""
    break_even: Flag = True
    """Warns where scoring costs more than selection saves."""

    def __str__(self) -> str:
        """As an inline table of TOML."""
        values = self.model_dump(mode="json").items()
        return "{" + ", ".join(f"{key} = {json.dumps(value)}" for key, value in values) + "}"


OFF = Guards(class_floor=0.0, noise_cap=0.0, never_empty=False, batchnorm_images=0, break_even=False)


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

    refresh_every: Index = 0
    """Before each epoch a random 1/K of the samples that the last one left out is scored again; 0: never."""
    guards: Annotated[Guards, BeforeValidator(_guards)] = Guards()
    """What keeps the method from harm, each a key of its own; "off": nothing does."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        found = super().conflicts(epochs)
        if not self.reads_scored:
            found |= self.changed(["refresh_every"], "has no effect: what training left behind decides; leave it out")
        return found


class InBatchParams(ScoredParams):
    """Parameters of methods that can score each batch with the current weights."""

    score: Literal["stale", "fresh"] = "stale"
    """`stale`: chosen before the epoch, from the last known scores. `fresh`: scored in the batch."""
    scoring: Literal["eval", "train"] = "eval"
    """`fresh`: mode of the scoring forward; published codes score in train mode."""
    scorer_side_px: Side | None = None
    """`fresh`: image side for scoring, to make it cheaper; left out: the side of training."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        found = super().conflicts(epochs)
        if self.score == "stale":
            reason = 'has no effect with select.score = "stale"; leave it out, or set select.score = "fresh"'
            found |= self.changed(("scoring", "scorer_side_px"), reason)
        elif self.refresh_every:
            found["refresh_every"] = 'scores again what select.score = "fresh" scores in every batch; leave it out'
        return found


class WeightParams(Section):
    """Parameters of methods that draw samples with known probabilities."""

    weights: Literal["none", "inclusion"] = "none"
    """`inclusion`: a sample that was drawn with probability p weighs 1/p, so that the expected sum of gradients is that
    of all samples (Horvitz and Thompson 1952). Samples that a guard adds weigh 1."""
    clip_weights: NonNegative = 10.0
    """Largest weight; 0: no limit, and no bias."""
    self_normalise: Flag = False
    """Divide the weights of an epoch (of a batch, where it is chosen from fresh scores) by their mean: less variance, a
    small bias."""


class BaseSelector(ABC):
    """A selector that chooses before the epoch; `order` and `expects` are the method's own.

    Attributes:
        favours_hard: The method prefers high losses, which wrong labels have, too: the noise guard applies.
    """

    packs = True
    scores_in_train_mode = False
    scoring_side_px: int | None = None
    columns: Sequence[Column] = ()
    favours_hard = False

    @abstractmethod
    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection: ...

    @abstractmethod
    def expected(self, at: At) -> Expectation: ...

    def ids_to_score(self, table: Table, at: At) -> Tensor:
        import torch

        return torch.empty(0, dtype=torch.int64)

    def in_batch(self, at: At) -> bool:
        return False

    def candidate_factor(self, at: At) -> float:
        return 1.0

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        import torch

        return KeepMask(torch.ones(len(seen_G), dtype=torch.bool), torch.ones(len(seen_G), dtype=torch.float64))

    def series(self, table: Table) -> dict[str, Tensor]:
        return {}

    def counts(self) -> dict[str, float]:
        return {}

    def suspected(self) -> Tensor:
        import torch

        return torch.empty(0, dtype=torch.int64)

    def note(self) -> str:
        return ""

    def state_dict(self) -> State:
        return {}

    def load_state_dict(self, state: State) -> None:
        return


class InBatchSelector(BaseSelector):
    """A selector that chooses in the batch where `score = "fresh"`: all are loaded and scored, `keep` decides."""

    def __init__(self, params: InBatchParams) -> None:
        self.is_fresh = params.score == "fresh"
        self.packs = params.batches == "pack"
        self.scores_in_train_mode = params.scoring == "train"
        self.scoring_side_px = params.scorer_side_px

    def in_batch(self, at: At) -> bool:
        return self.is_fresh


def expects_below(threshold: float, at: At, scored: float = 0.0) -> Expectation:
    """What a threshold on scores lets through: a given share, all where it is 1, else what only training can tell."""
    if at.share is not None:
        return Expectation(at.share, at.share, scored)
    return Expectation(1.0 if threshold == 1 else 0.0, 1.0, scored)


def unweighted(ids_M: Tensor) -> Selection:
    """These samples, all with weight 1."""
    import torch

    return Selection(ids_M, torch.ones(len(ids_M), dtype=torch.float64))


def weighted(ids_M: Tensor, inclusion_M: Tensor, params: WeightParams) -> Selection:
    """These samples, weighted as `params` says.

    Args:
        ids_M: The samples drawn.
        inclusion_M: The probability with which each was drawn, in (0, 1].
        params: The method's parameters.
    """
    return Selection(ids_M, weights_of(inclusion_M, params))


def drawn_uniformly(ids_M: Tensor, count: int, params: WeightParams, seed: int, *purpose: int | str) -> Selection:
    """A uniform draw of `count` of these samples, weighted as `params` says."""
    import torch

    drawn = sample_uniformly(ids_M, count, seed, *purpose)
    inclusion_M = torch.full((len(drawn),), len(drawn) / max(1, len(ids_M)), dtype=torch.float64)
    return weighted(drawn, inclusion_M, params)


def drawn_by_class(
    ids_M: Tensor, population: Population, quota_C: Tensor, params: WeightParams, *purpose: int | str
) -> Selection:
    """A uniform draw of `quota_C` of these samples from each class, weighted as `params` says."""
    label_M = population.label_N[ids_M]
    drawn = top_k_per_class(ids_M, label_M, quota_C, None, population.seed, *purpose)
    inclusion_C = quota_C / label_M.bincount(minlength=population.classes).clamp(min=1)
    return weighted(drawn, inclusion_C[population.label_N[drawn]], params)


def weights_of(inclusion_M: Tensor, params: WeightParams) -> Tensor:
    """Loss weights, float64, of samples that were drawn with these probabilities."""
    import torch

    if params.weights == "none":
        return torch.ones(len(inclusion_M), dtype=torch.float64)
    weight_M = 1 / inclusion_M.double()
    if params.clip_weights:
        weight_M = weight_M.clamp(max=params.clip_weights)
    return weight_M / weight_M.mean() if params.self_normalise and len(weight_M) else weight_M
