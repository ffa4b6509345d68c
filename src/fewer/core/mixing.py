"""Mixup and CutMix: the images of a batch blended in pairs, and what a batch's pairs share.

Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", arXiv 1710.09412. Yun et al. 2019, "CutMix:
Regularization Strategy to Train Strong Classifiers with Localizable Features", arXiv 1905.04899.

Neighbours in the global batch, whose order is random, are partners of each other: a pair is on one worker, whatever
the number of workers. All pairs of a batch are mixed alike, as in timm's mode "batch". Imports no torch.

B: samples of a batch on one worker. G: samples of the global batch.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from fewer.core import ragged, rng
from fewer.core.observation import Observed
from fewer.core.types import Batch, Mixed

if TYPE_CHECKING:
    from torch import Tensor

PAIR = 2
Box = tuple[int, int, int, int]  # top, bottom, left, right


class Mixture(Protocol):
    """What becomes of a batch whose images are put together."""

    @property
    def note(self) -> str:
        """A word on it for pictures."""
        ...

    def mates(self, positions: Tensor, size: int) -> Tensor:
        """Where among a worker's samples those are that each is put together with.

        Args:
            positions: Of the worker's samples in the global batch, in whole units.
            size: Samples of the global batch.
        """
        ...

    def batch(self, batch: Batch, partner_B: Tensor) -> Batch:
        """The samples put together."""
        ...

    def shared(self, value_B: Tensor, partner_B: Tensor) -> Tensor:
        """Numbers of the samples, such as loss weights, as the images put together have them."""
        ...

    def credited(self, seen_B: Observed, partner_B: Tensor, mixed: Mixed | None = None) -> Observed:
        """What the images put together have shown, credited to all that are in them.

        Args:
            seen_B: Observations, each under the id of the sample that it began with.
            partner_B: What `mates` gave.
            mixed: That of the batch.
        """
        ...


class MixesBatches(Protocol):
    """A rule by which batches are put together."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it may make of a batch, in words."""
        ...

    @property
    def share(self) -> float:
        """Share of the batches that do not stay as they are."""
        ...

    @property
    def unit(self) -> int:
        """So many neighbours of a global batch stay on one worker."""
        ...

    def drawn(self, side_px: int, *key: int) -> Mixture | None:
        """What becomes of one batch, a pure function of the key (seed, epoch, batch, step); None: it stays as it is."""
        ...


@dataclass(frozen=True, slots=True)
class MixRule:
    """How batches are mixed.

    Attributes:
        mixup_alpha, cutmix_alpha: Of the Beta(alpha, alpha) that an image's share is drawn from; 0: never so.
        share: Probability that a batch is mixed.
        cutmix_share: Probability that it is by CutMix, where both are asked for.
    """

    mixup_alpha: float
    cutmix_alpha: float
    share: float
    cutmix_share: float

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of mixup and CutMix those that have an alpha."""
        kinds = {"mixup": self.mixup_alpha, "CutMix": self.cutmix_alpha}
        return tuple(kind for kind, alpha in kinds.items() if alpha)

    @property
    def unit(self) -> int:
        """Pairs stay on one worker."""
        return PAIR

    def drawn(self, side_px: int, *key: int) -> Mix | None:
        """How one batch is mixed, a pure function of the key; None where it stays as it is.

        Args:
            side_px: Side of its images.
            key: Seed, epoch, batch, step.
        """
        if _stream("whether", *key).random() >= self.share:
            return None
        cuts = self.cutmix_alpha > 0 and not (self.mixup_alpha and _stream("which", *key).random() >= self.cutmix_share)
        alpha = self.cutmix_alpha if cuts else self.mixup_alpha
        share = _stream("share", *key).betavariate(alpha, alpha)
        if not cuts:
            return Mix(share) if share < 1 else None
        place = _stream("place", *key)
        return cut(share, side_px, int(place.random() * side_px), int(place.random() * side_px))


@dataclass(frozen=True, slots=True)
class Mix:
    """How a batch is mixed.

    Attributes:
        share: Of each image and its label in what it becomes; the rest is its partner's.
        box: CutMix: the part that is the partner's. None: mixup.
    """

    share: float
    box: Box | None = None

    @property
    def note(self) -> str:
        """The share of the first image."""
        return f"{self.share:.0%}"

    def mates(self, positions: Tensor, size: int) -> Tensor:
        """The partner of each sample; see `partners`."""
        return partners(positions, size)

    def batch(self, batch: Batch, partner_B: Tensor) -> Batch:
        """The mixed samples; `partner_B` holds the position of each one's partner."""
        import torch

        images = ragged.dense(batch.inputs)
        partner_B = partner_B.to(images.device)
        if self.box is None:
            others = images.index_select(0, partner_B).mul_(1 - self.share)
            images = (images * self.share).add_(others)
        else:
            top, bottom, left, right = self.box
            others = images[:, :, top:bottom, left:right].index_select(0, partner_B)
            images = images.clone()
            images[:, :, top:bottom, left:right] = others
        share_B = torch.full((len(batch),), self.share, dtype=torch.float64)
        return replace(batch, inputs=images, mixed=Mixed(ragged.take(batch.targets, partner_B), share_B))

    def shared(self, value_B: Tensor, partner_B: Tensor) -> Tensor:
        """Numbers of the samples, such as loss weights, shared between partners."""
        return value_B * self.share + value_B[partner_B] * (1 - self.share)

    def credited(self, seen_B: Observed, partner_B: Tensor, mixed: Mixed | None = None) -> Observed:
        """What mixed images have shown, credited to the images in them.

        Each image is in two of them, its own and its partner's. Numbers are shared by its shares of the two; what is
        true or false comes from the one that shows more of it.
        """
        found = {}
        for name, values_B in seen_B.columns.items():
            at = partner_B.to(values_B.device)
            if values_B.is_floating_point():
                found[name] = self.shared(values_B, at)
            else:
                found[name] = values_B if self.share >= 0.5 else values_B[at]
        return Observed(seen_B.ids_B, found)


def cut(share: float, side_px: int, middle_y: int, middle_x: int) -> Mix | None:
    """CutMix with a box around a point: of the area 1 - share, cut off at the edge; the share becomes that of the area.

    The rule of the paper's code and of timm. None where the box is empty.
    """
    length = int(side_px * math.sqrt(1 - share))
    top, left = (max(0, middle - length // 2) for middle in (middle_y, middle_x))
    bottom, right = (min(side_px, middle + (length + 1) // 2) for middle in (middle_y, middle_x))
    area = (bottom - top) * (right - left)
    return Mix(1 - area / side_px**2, (top, bottom, left, right)) if area > 0 else None


def partners(positions: Tensor, size: int) -> Tensor:
    """Where among a worker's samples the partner of each is; the last one of an odd batch is its own.

    Args:
        positions: Of the worker's samples in the global batch, whole pairs.
        size: Samples of the global batch.
    """
    import torch

    neighbour_B = positions ^ 1
    neighbour_B = torch.where(neighbour_B < size, neighbour_B, positions)
    place_G = torch.full((size,), -1)
    place_G[positions] = torch.arange(len(positions))
    return place_G[neighbour_B]


def _stream(purpose: str, seed: int, *parts: int) -> random.Random:
    """Numbers for one purpose of one batch."""
    return random.Random(rng.key(seed, "mix", purpose, *parts))
