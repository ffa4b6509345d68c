"""RHO-LOSS (Mindermann et al., ICML 2022): train on what is not learnt yet but can be, by loss minus reference loss.

The reference loss of a sample is that of a model that was not trained on it: high where the label is wrong or the image
says little. Both are then left out, however high their loss; so the noise cap, which would suspect the hard and
learnable, does not apply. `reference = PATH` takes a run's model or a file of weights and costs one forward of all
images. Without it two proxies are trained first, each on one half of the images for the other half, and as long as the
run: that costs as much as plain training, and is booked. So it can pay where one reference serves many runs, not in a
single one. Shorter proxies (`proxy_epochs`) cost less and turn against the method: once the model is surer than its
reference, it is the wrong labels whose losses exceed theirs (docs/adr/0028-reference-losses.md has numbers).

`score = "stale"` ranks by the losses that training itself left behind, before the epoch; everything is trained on in
the first one. `score = "fresh"` is the published rule: of 1 / share batches' worth of candidates (ten at most), scored
with the current weights, the best fill one batch; it costs a forward of every image. A sample whose reference is
unknown, or not finite, takes the mean of the others, and is counted. Under `cost` the share is what the cost pays for,
proxies included. Neutral at share = 1, where no reference is needed.

Published defaults: share 0.1 (32 of 320), fresh, scored in train mode, one small model trained on held-out images. Half
of the images is our default: a tenth saves steps and costs 13 forwards for each image trained on where plain training
costs 3, and from stale losses a tenth sees too little of the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, final

from pydantic import AfterValidator

from fewer.core.clock import Duration
from fewer.core.config import Span
from fewer.core.observation import Observed
from fewer.core.population import Population
from fewer.core.registry import Settings
from fewer.core.types import At, Expectation, KeepMask, Selection
from fewer.select.base import InBatchSelector, unweighted
from fewer.select.method_params import InBatchParams, OpenShare
from fewer.select.sampling import class_means, count_of, fair_count, top_k

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.table import Table

_WIDEST = 10.0  # candidates in batches' worth: what is scored at once must fit into memory


def _path(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("give a run folder or a file of weights")
    return text


NEUTRAL: list[Settings] = [{"share": 1.0}, {"share": 1.0, "score": "fresh"}]
EXAMPLES: list[Settings] = [{"share": 0.5, "proxy_epochs": "1ep"}]


class Params(InBatchParams):
    needs_looks = True
    method: Literal["rho"] = "rho"
    share: OpenShare = 0.5
    """Share of the samples, or of each candidate batch, that is trained on; 1 keeps all."""
    reference: Annotated[str, AfterValidator(_path)] | None = None
    """Model that the reference losses come from: a run folder (its best model), or a file of weights of the recipe's
    own model; best trained on other images. Left out: two proxies are
    trained first, within the run and its costs."""
    proxy_epochs: Span = Duration(100, "%")
    """Epochs of each proxy, over a half of the images; `100%` costs as much as plain training."""

    @property
    def needs_reference(self) -> bool:
        """Whether anything depends on the reference losses."""
        return self.share < 1 or self.cost is not None

    def conflicts(self, epochs: int) -> dict[str, str]:
        found = super().conflicts(epochs)
        if self.reference is not None:
            found |= self.changed(["proxy_epochs"], "has no effect beside select.reference; leave one of the two out")
        elif not self.proxy_epochs.value:
            found["proxy_epochs"] = "trains no proxy; give more, or name a reference"
        return found


@final
class Rho(InBatchSelector):
    """Keeps the highest losses in excess of the reference's."""

    def __init__(self, params: Params, population: Population) -> None:
        import torch

        super().__init__(params)
        self.params, self.population, self.seed = params, population, population.seed
        given_N, size = population.reference_loss_N, len(population.group_N)
        self._set(torch.full((size,), torch.nan) if given_N is None else given_N.float())

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        if self.is_fresh or at.epoch == 0:
            return unweighted(pool_ids)
        excess_M = self._excess(pool_ids, table.loss_N[pool_ids])
        count = max(count_of(self._share(at), len(pool_ids)), int(excess_M.isnan().sum()))
        return unweighted(top_k(pool_ids, excess_M, count, self.seed, "select.rho", at.epoch))

    def candidate_factor(self, at: At) -> float:
        """As many as fill a batch; one batch's worth where batches shrink."""
        return min(_WIDEST, 1 / max(self._share(at), 1 / _WIDEST)) if self.packs else 1.0

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        import torch

        ids_G, lots = seen_G.ids_B, (self.seed, "select.rho", at.epoch)
        count = fair_count(self._share(at), ids_G, *lots)
        mask_G = torch.isin(ids_G, top_k(ids_G, self._excess(ids_G, seen_G.loss_B), count, *lots))
        return KeepMask(mask_G, torch.ones(len(ids_G), dtype=torch.float64))

    def expected(self, at: At) -> Expectation:
        if at.epoch == 0 and not self.is_fresh:
            return Expectation(1.0, 1.0)
        share = self._share(at)
        return Expectation(share, share, float(self.is_fresh))

    def series(self, table: Table) -> dict[str, Tensor]:
        """Mean loss of each class in excess of the reference's: what there is still to be learnt of it."""
        import torch

        group_N = self.population.group_N
        ids = (group_N >= 0).nonzero().flatten()
        images_C = torch.bincount(group_N[ids], minlength=self.population.groups)
        excess_M = self._excess(ids, table.loss_N[ids]).nan_to_num(0.0)
        return {"excess_loss_per_class": class_means(excess_M, group_N[ids], images_C)}

    def counts(self) -> dict[str, float]:
        unknown = int((~self.reference_N.isfinite() & (self.population.group_N >= 0)).sum())
        return {"reference_unknown": float(unknown)} if unknown else {}

    def _share(self, at: At) -> float:
        return self.params.share if at.share is None else at.share

    def _excess(self, ids_M: Tensor, loss_M: Tensor) -> Tensor:
        return loss_M - self._filled_N[ids_M]

    def _set(self, reference_N: Tensor) -> None:
        import torch

        known_N = reference_N.isfinite() & (self.population.group_N >= 0)
        mean = float(reference_N[known_N].double().mean()) if known_N.any() else 0.0
        self.reference_N, self._filled_N = reference_N, torch.where(known_N, reference_N, mean)

    def state_dict(self) -> dict[str, Any]:
        return {"reference": self.reference_N}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        reference_N = state["reference"]
        if len(reference_N) != len(self.reference_N):
            raise ValueError(
                f"rho: reference losses of {len(reference_N)} samples do not fit a set of {len(self.reference_N)}"
            )
        self._set(reference_N.clone())


def build(params: Params, population: Population) -> Rho:
    return Rho(params, population)
