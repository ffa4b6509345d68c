"""The evidence that labels are wrong: within classes that have been learnt, losses fall into two groups, and stay so.

A high loss alone says nothing: early on all losses are high, and where a net has learnt some classes and not others the
losses of all samples fall into two groups although every label is right. So three things are asked for:

* Most classes have been learnt: clearly more of their samples are predicted as labelled than chance would.
* The losses of these classes' samples fall into two groups, with a valley between them (Arazo et al., ICML 2019; Li et
  al., "DivideMix", ICLR 2020: right labels are learnt first).
* The same samples are in the upper group in two looks in a row, wrongly predicted in both.

M: samples looked at. C: classes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch

from fewer.core import rng
from fewer.core.population import Population
from fewer.core.types import State
from fewer.select.sampling import class_means

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

_LEARNT = 0.4  # of the way from chance to everything right: what a class with 40 % wrong labels still reaches
_SAMPLED = 20_000  # losses that groups are looked for in, at most
_REACH, _VALLEY = 6, 0.5  # a valley: within a sixth of the distance, less than half as many as around a peak


@final
class Evidence:
    """Looks at the samples' losses, one look after the other.

    Args:
        population: Labels of the training set.

    Attributes:
        share: Share of the samples of learnt classes that look wrong by the last two looks; 0 without evidence.
    """

    def __init__(self, population: Population) -> None:
        self.population = population
        self.share = 0.0
        self._last = torch.empty(0, dtype=torch.int64)

    def look(self, ids_M: Tensor, loss_M: Tensor, right_M: Tensor) -> Tensor:
        """Ids of the samples that look wrong now and did so in the last look, in their order.

        Args:
            ids_M: Samples.
            loss_M: Loss of each; not finite where it is not known.
            right_M: Whether each is predicted as labelled.
        """
        known_M = torch.isfinite(loss_M)
        learnt_C = learnt_classes(ids_M[known_M], right_M[known_M], self.population)
        found, judged = looks_wrong(ids_M, loss_M, right_M, learnt_C, self.population)
        both = found[torch.isin(found, self._last)]
        self._last = found
        self.share = len(both) / max(1, judged)
        return both

    def state_dict(self) -> State:
        return {"last": self._last, "share": self.share}

    def load_state_dict(self, state: State) -> None:
        self._last, self.share = state["last"].clone(), state["share"]


def learnt_classes(ids_M: Tensor, right_M: Tensor, population: Population) -> Tensor:
    """Which classes have been learnt, a mask; none where those are not most of the classes and of the samples.

    Nor are there any where groups are no classes: the losses of images with objects and of background fall into two
    groups although every box is right.

    Args:
        ids_M: Samples, the more the better: a class is judged by its own.
        right_M: Whether each is predicted as labelled.
        population: Labels of the training set.
    """
    label_M = population.group_N[ids_M]
    images_C = torch.bincount(label_M, minlength=population.groups)
    present_C = images_C > 0
    classes = int(present_C.sum())
    chance = 1 / max(1, classes)
    learnt_C = present_C & (class_means(right_M, label_M, images_C) >= chance + _LEARNT * (1 - chance))
    are_most = 2 * int(learnt_C.sum()) >= classes and 2 * int(images_C[learnt_C].sum()) >= len(ids_M)
    tells = population.groups_are_classes and are_most and classes > 1
    return learnt_C if tells else torch.zeros_like(learnt_C)


def looks_wrong(
    ids_M: Tensor, loss_M: Tensor, right_M: Tensor, learnt_C: Tensor, population: Population
) -> tuple[Tensor, int]:
    """What looks wrong in one look: ids in their order, and of how many samples, those of learnt classes.

    Args:
        ids_M: Samples.
        loss_M: Loss of each; not finite where it is not known.
        right_M: Whether each is predicted as labelled.
        learnt_C: Which classes have been learnt.
        population: Labels of the training set.
    """
    judged_M = torch.isfinite(loss_M) & learnt_C[population.group_N[ids_M]]
    ids_M, loss_M, right_M = ids_M[judged_M], loss_M[judged_M], right_M[judged_M]
    sampled = rng.shuffled(ids_M, population.seed, "select.noise")[:_SAMPLED].sort().values
    groups = two_groups(loss_M[sampled])
    if groups is None:
        return ids_M[:0], len(ids_M)
    return ids_M[~right_M & (loss_M > groups.boundary)], len(ids_M)


@dataclass(frozen=True, slots=True)
class TwoGroups:
    """Two groups of losses.

    Attributes:
        boundary: The loss midway between them.
        upper_share: Share of the losses in the upper one.
    """

    boundary: float
    upper_share: float


def two_groups(loss_M: Tensor) -> TwoGroups | None:
    """The two groups that losses fall into, by two normal distributions fitted to them; None where they are one."""
    if len(loss_M) < 20 or float(loss_M.max() - loss_M.min()) <= 0:
        return None
    from sklearn.mixture import GaussianMixture

    top = float(loss_M.quantile(0.99))
    if top <= 0:  # all but a few are known to the last bit
        return None
    values = (loss_M.clamp(max=top) / top).double().numpy()[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an estimate that still moves a little is good enough
        # Seeded, since all ranks and a resumed run must find the same.
        mixture = GaussianMixture(2, means_init=[[0.0], [1.0]], reg_covar=1e-4, tol=1e-4, max_iter=50, random_state=0)
        fitted = mixture.fit(values)
    means = fitted.means_[:, 0]
    if not _has_valley(values[:, 0], *sorted(means.tolist())):
        return None
    return TwoGroups(float(means.mean()) * top, float(fitted.weights_[int(means.argmax())]))


def _has_valley(values: npt.NDArray[np.float64], low: float, high: float) -> bool:
    """Whether fewer values lie midway between two places than around either: one wide group has no valley."""
    reach = (high - low) / _REACH
    around = [float((abs(values - place) < reach).sum()) for place in (low, (low + high) / 2, high)]
    return around[1] < _VALLEY * min(around[0], around[2])
