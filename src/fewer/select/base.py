"""Base classes of selectors, and selections that methods share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fewer.core.allocation import exact_parts
from fewer.core.observation import Column, Observed
from fewer.core.population import Population
from fewer.core.types import At, Expectation, KeepMask, Selection, State
from fewer.select.method_params import InBatchParams, ScoredParams, WeightParams
from fewer.select.sampling import fair_quotas, sample_uniformly, top_k_per_class

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table


class BaseSelector(ABC):
    """A selector that chooses before the epoch; `select` and `expected` are the method's own."""

    packs = True
    scores_in_train_mode = False
    scoring_side_px: int | None = None
    columns: Sequence[Column] = ()

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

    def __init__(self, params: ScoredParams) -> None:
        self.packs, self.is_fresh = params.batches == "pack", False
        if isinstance(params, InBatchParams):
            self.is_fresh = params.is_fresh
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
    label_M = population.group_N[ids_M]
    drawn = top_k_per_class(ids_M, label_M, quota_C, None, population.seed, *purpose)
    inclusion_C = quota_C / label_M.bincount(minlength=population.groups).clamp(min=1)
    return weighted(drawn, inclusion_C[population.group_N[drawn]], params)


def kept_by_class(
    ids_G: Tensor,
    population: Population,
    weight_C: Tensor,
    total: int,
    params: WeightParams,
    *purpose: int | str,
    value_G: Tensor | None = None,
) -> KeepMask:
    """Keeps `total` samples of a batch, shared out among its classes by their weights.

    Args:
        ids_G: The samples of the batch.
        population: Labels of the training set.
        weight_C: Weight of each class.
        total: How many are kept; all where there are fewer.
        params: The method's parameters: how a draw is weighted.
        purpose: What the lots are for: the method, the epoch.
        value_G: Of each class those of the highest values are kept; left out: a uniform draw.
    """
    import torch

    weight_G = torch.ones(len(ids_G), dtype=torch.float64)
    if not len(ids_G):
        return KeepMask(torch.zeros(0, dtype=torch.bool), weight_G)
    label_G = population.group_N[ids_G]
    images_C = label_G.bincount(minlength=population.groups)
    part_C = exact_parts(weight_C, total, images_C)
    quota_C = fair_quotas(part_C, population.seed, *purpose, int(ids_G.min()))
    mask_G = torch.isin(ids_G, top_k_per_class(ids_G, label_G, quota_C, value_G, population.seed, *purpose))
    if value_G is None:
        inclusion_C = part_C / images_C.clamp(min=1)
        weight_G[mask_G] = weights_of(inclusion_C[label_G[mask_G]], params)
    return KeepMask(mask_G, weight_G)


def weights_of(inclusion_M: Tensor, params: WeightParams) -> Tensor:
    """Loss weights, float64, of samples that were drawn with these probabilities."""
    import torch

    if params.weights == "none":
        return torch.ones(len(inclusion_M), dtype=torch.float64)
    weight_M = 1 / inclusion_M.double()
    if params.clip_weights:
        weight_M = weight_M.clamp(max=params.clip_weights)
    # Batches that shrink are as many as plain training's, and each is divided by its own samples: weights of mean 1
    # give the sum of plain training's steps.
    shrinks = getattr(params, "batches", "pack") == "shrink"
    return weight_M / weight_M.mean() if (params.self_normalise or shrinks) and len(weight_M) else weight_M
