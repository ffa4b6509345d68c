"""Proxy filter (airbench96_faster, Jordan 2024): a small net picks the hardest share of each batch for the large one.

Before the first epoch a proxy, a net of about a sixteenth of the cost, goes through the whole run: the same images in
the same order, as the same views. Of each of its batches it picks the share of highest loss, as it is then, and learns
from what it picked in one batch of `proxy_every`. The net itself then trains on these picks alone, in batches of full
size, and never pays for an image that is left out: none is loaded, decoded or scored. A batch of the proxy is 1 / share
of the net's, so that each of the net's batches is the hardest part of one of the proxy's. The proxy costs a forward of
every image and next to nothing else: at a sixteenth of the net's cost some 3 % of plain training, which is booked.

Order and views follow from the data seed, the epoch and the image alone. So the picks are kept, a bit an image and
epoch, in the user's cache, and every run whose proxy would be the same takes them from there: with other seeds of its
own under one `train.data_seed`, with other models and learning rates where `[select.proxy]` says what the proxy's are.
The ledger books what the run would pay alone, and says how much of that it did not compute.

Where it pays: in long runs that end near a training accuracy of 100 %, where most images have nothing left to teach
(96.0 % on CIFAR-10 for 3.1 in place of 4.9 PFLOP, published). In short runs every image teaches, and wrong labels have
high losses to the end: the noise cap is for them. Neutral at share = 1, which trains no proxy.

Published settings: share 0.5 (512 of 1,024), 45 epochs, a proxy of a quarter of the width and two thirds of the depth
that learns in every fourth batch; losses are those of train mode, with label smoothing. Here, BatchNorm's statistics
are of all workers together, and picks are rounded over an epoch rather than a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, final

from pydantic import Field

from fewer.core.choices import Choices
from fewer.core.config import Count, Section
from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.registry import Settings
from fewer.core.types import At, Expectation, KeepMask, Selection, State
from fewer.select.base import BaseSelector, unweighted
from fewer.select.method_params import OpenShare, ScoredParams
from fewer.select.sampling import count_of, sample_uniformly, top_k

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

NOT_ITS_OWN = (
    *("epochs", "batch_size", "batch_ramp", "side_px", "seed", "data_seed", "budget", "patience"),
    *("compile", "layer_lr_decay"),
)
"""Keys of [train] that a proxy cannot have: it sees what the run sees, is not compiled, and has one rate for all."""
_WIDEST = 10.0  # batches' worth of images that the proxy looks at at once

NEUTRAL: list[Settings] = [{"share": 1.0}]


class ProxyRecipe(Section):
    """`[select.proxy]`: how the proxy differs from the run that it is for."""

    model: dict[str, Any] = Field(default_factory=dict)
    """Keys of [model]. With a `name` of its own it has these keys and the kind of head of the run; else it is its model
    with these keys, and left out, a quarter as wide."""
    train: dict[str, Any] = Field(default_factory=dict)
    """Keys of [train]; the others are those of the run."""


class Params(ScoredParams):
    reads_scored = False
    method: Literal["proxy"] = "proxy"
    share: OpenShare = 0.5
    """Share of the samples that is trained on; 1 keeps all."""
    proxy: ProxyRecipe = ProxyRecipe()
    """The small net, as tables of keys: `[select.proxy.model] width = 0.25`, `[select.proxy.train] lr = 1.5`."""
    proxy_every: Count = 4
    """The proxy learns in every so many of its batches, and only looks at the others."""

    @property
    def favours_hard(self) -> bool:
        return True

    @property
    def needs_proxy(self) -> bool:
        """Whether anything depends on the proxy's choices."""
        return self.share < 1 or self.cost is not None


@final
class Proxy(BaseSelector):
    """Trains on what a proxy has chosen, and on nothing else."""

    def __init__(self, params: Params, seed: int, choices: Choices | None) -> None:
        self.params, self.seed, self.choices = params, seed, choices
        self.packs = params.batches == "pack"

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        import torch

        count, lots = count_of(self._share(at), len(pool_ids)), (self.seed, "select.proxy", at.epoch)
        # A share that is not the proxy's, and epochs that it has not seen, are made up by lots.
        chosen_M = self.choices.among(pool_ids, at.epoch) if self.choices else torch.zeros(len(pool_ids)) > 0
        drawn = sample_uniformly(pool_ids[chosen_M], count, *lots)
        others = sample_uniformly(pool_ids[~chosen_M], count - len(drawn), *lots)
        return unweighted(torch.cat([drawn, others]))

    def expected(self, at: At) -> Expectation:
        return Expectation(self._share(at), self._share(at))

    def _share(self, at: At) -> float:
        return self.params.share if at.share is None else at.share

    def state_dict(self) -> State:
        return {} if self.choices is None else {"choices": self.choices.bits_EK, "size": self.choices.size}

    def load_state_dict(self, state: State) -> None:
        self.choices = Choices(state["choices"].clone(), state["size"]) if state else None


@final
class Filter(BaseSelector):
    """The proxy's own selector: of each batch those of highest loss, trained on in one batch of several.

    Args:
        share: Share of each batch.
        every: Train in every so many batches.
        epochs: Of the proxy's run.
        size: Ids of the source, N.
        seed: For ties.
    """

    packs = False
    scores_in_train_mode = True

    def __init__(self, share: float, every: int, epochs: int, size: int, seed: int) -> None:
        import torch

        self.share, self.every, self.seed = share, every, seed
        self.chosen_EN = torch.zeros(epochs, size, dtype=torch.bool)
        self.batches = self.seen = self.shown = 0  # of the epoch

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        self.batches, self.seen, self.shown = 0, 0, len(pool_ids)
        return unweighted(pool_ids)

    def in_batch(self, at: At) -> bool:
        return True

    def candidate_factor(self, at: At) -> float:
        return min(_WIDEST, 1 / self.share)

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        import torch

        ids_G, batch = seen_G.ids_B, self.batches
        before, self.seen = self.seen, self.seen + len(seen_G)
        count = up_to(self.share, self.seen, self.shown) - up_to(self.share, before, self.shown)
        chosen = top_k(ids_G, seen_G.loss_B, count, self.seed, "select.proxy.ties", at.epoch)
        self.chosen_EN[at.epoch, chosen] = True
        self.batches += 1
        learns = batch % self.every == 0
        mask_G = torch.isin(ids_G, chosen) if learns else torch.zeros(len(ids_G), dtype=torch.bool)
        return KeepMask(mask_G, torch.ones(len(ids_G), dtype=torch.float64))

    def expected(self, at: At) -> Expectation:
        return Expectation(0.0, self.share, 1.0)

    @property
    def choices(self) -> Choices:
        """What has been chosen so far."""
        return Choices.of(self.chosen_EN)


def up_to(share: float, seen: int, shown: int) -> int:
    """How many of the first samples of an epoch are chosen, so that in all it is `count_of` of those that are shown."""
    return count_of(share, shown) if seen == shown else round(share * seen)


def build(params: Params, population: Population) -> Proxy:
    return Proxy(params, population.seed, population.choices)
