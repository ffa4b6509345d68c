"""Data selection for a foreign training loop: a sampler, weights, and the losses that the loop observes.

Names of tensors: B: samples of a batch on this rank. K: those of them that are kept. G: samples of the global batch.
N: all samples of the data set; a sample's id is its position.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import torch

from fewer import select
from fewer.core import rng
from fewer.core.errors import DataError, RecipeError, UsageError
from fewer.core.observation import Observed
from fewer.core.protocols import Comm, Selector
from fewer.core.table import Kind
from fewer.core.types import State
from fewer.select.epoch import EpochSelection
from fewer.select.method_params import ScoredParams
from fewer.select.own_loop import settings
from fewer.select.own_loop.epochs import Epochs
from fewer.select.own_loop.in_batch import CALL_KEEP, Kept, all_observed, local_part
from fewer.select.own_loop.observation import observation, positions, with_columns
from fewer.select.own_loop.ranks import current_comm, require_agreement
from fewer.select.own_loop.sampler import EpochSampler
from fewer.select.own_loop.shard import Shard
from fewer.select.own_loop.state import checked, load, remaining, saved
from fewer.select.packer import Packed

if TYPE_CHECKING:
    from torch import Tensor


@final
class Chooser:
    """Chooses, epoch by epoch, which samples a training loop of your own sees.

    ```python
    chooser = fewer.Chooser("dbpd", labels, epochs=10, threshold=0.3)
    loader = DataLoader(data, batch_size=128, sampler=chooser.sampler)  # gives image, label and position
    for epoch in range(10):
        chooser.begin(epoch)
        for image_B, label_B, id_B in loader:
            logits_BC = model(image_B)
            loss_B = cross_entropy(logits_BC, label_B, reduction="none")
            (chooser.weights(id_B) * loss_B).mean().backward()
            ...
            chooser.observe(id_B, loss_B, logits_BC)
    ```

    Under `torch.distributed` every rank makes the same choice and is given its part of it. `begin`, `ids_to_score`,
    `keep` and `gather` communicate: every rank must call them.

    Args:
        method: A method's name (`fewer methods`), or a selector.
        labels: The class of every sample of the data set; -1 for one that is not trained on. Zeros where a task has no
            classes.
        epochs: All epochs of the run.
        seed: What draws and order depend on, together with the epoch.
        classes: Number of classes; the highest label says, if left out.
        reference_loss: Loss of every sample under a reference model, for methods that ask for one.
        comm: How ranks exchange tensors, if not by torch.distributed's default group.
        **keys: The method's keys, as in a recipe's `[select]`: `threshold=0.3`, `guards="off"`, `revision="1ep"`.
            With `cost`, a scoring forward counts as a third of a trained sample.

    Attributes:
        sampler: For the loader: this rank's samples of the epoch, shuffled by seed and epoch.
        table: What is known of every sample.
        selector: The method, with what is put around it.
        lr_scale: Factor on this epoch's learning rate; 1 for most methods.

    Raises:
        RecipeError: The method or a key is unknown, wrong, or of no use in a loop that is not ours; or the cost cannot
            be met.
        DataError: Labels are missing or no classes.
    """

    def __init__(
        self,
        method: str | Selector,
        labels: Any,
        *,
        epochs: int,
        seed: int = 0,
        classes: int | None = None,
        reference_loss: Any = None,
        comm: Comm | None = None,
        **keys: Any,
    ) -> None:
        self.population = settings.population_of(labels, classes, seed, reference_loss)
        self.pool_ids = (self.population.group_N >= 0).nonzero().flatten()
        name = method if isinstance(method, str) else "full"
        if name is not method and keys:
            raise RecipeError(f"Chooser: a selector brings its own settings; leave {', '.join(keys)} out")
        chosen = settings.read(name, keys, epochs, self.population)
        self.method = chosen.method if name is method else type(method).__name__
        self.selector = select.build(chosen, self.population, epochs) if isinstance(method, str) else method
        budget = settings.price(chosen, epochs, self.population, self.selector, self.method)
        self._identity = {
            "method": self.method,
            "samples": len(self.population.group_N),
            "labels": settings.digest(self.population.group_N),
            "seed": seed,
        }
        self._told = rng.key(seed, repr(self._identity), repr(chosen), epochs)
        self._comm_given = comm
        self._selection = EpochSelection(self.selector, self.pool_ids, len(self.population.group_N), seed)
        self.table = self._selection.table
        self.sampler = EpochSampler(self.begin, lambda: -(-len(self.pool_ids) // self._comm.world_size))
        self.lr_scale = 1.0
        needs_losses = name is not method or isinstance(chosen, ScoredParams)
        needs_scores = settings.scores_before(self.selector, epochs)
        self._epochs = Epochs(self._selection, budget, epochs, self.method, needs_losses, needs_scores)

    # --- Before an epoch --------------------------------------------------------------------------------------

    def ids_to_score(self, epoch: int) -> Tensor:
        """This rank's part of the samples to be scored before an epoch; often none. To be called before `begin`.

        What it names goes through the model in eval mode, without augmentation, and into `observe(..., kind="scored")`.
        A method that lives on such scores insists on this call. For others it is a refinement: what they want to look
        at again, and nobody scores, is trained on.
        """
        if self._epochs.has_begun(epoch):
            return self.pool_ids[:0]
        self._enter(epoch)
        comm = self._comm
        return self._epochs.name_wanted()[comm.rank :: comm.world_size]

    def begin(self, epoch: int) -> None:
        """Chooses the samples of an epoch, from all that has been observed; the same on every rank.

        In an epoch that has begun, or of which a loaded state holds the rest, it changes nothing.

        Raises:
            UsageError: The epoch lies behind, or beyond `epochs`; nothing was observed in the last one; or what
                `ids_to_score` named has not been scored.
            DataError: The method keeps nothing.
            DivergedError: A loss of the last epoch is not finite.
        """
        if self._epochs.has_begun(epoch):
            self.sampler.renew()
            return
        self._enter(epoch)
        order = self._epochs.begin(self._comm)
        if order is None:
            raise DataError(
                f"{self.method} keeps none of {len(self.pool_ids)} samples in epoch {epoch}; loosen it, train fewer "
                "epochs, or leave its guards on"
            )
        self.lr_scale = order.lr_scale
        self._deal(order.samples)

    def _enter(self, epoch: int) -> None:
        """Moves to an epoch that may begin, once all ranks agree about it."""
        self._epochs.require_next(epoch)
        require_agreement(self._comm, self._told, epoch)
        self._epochs.enter(epoch, self._comm)
        if self._selection.order is None:
            self.sampler.deal(None)

    def _deal(self, samples: Packed) -> None:
        self.sampler.deal(Shard(samples, self._comm.rank, self._comm.world_size, len(self.table)))

    # --- In an epoch ------------------------------------------------------------------------------------------

    def weights(self, id_B: Tensor) -> Tensor:
        """Loss weights of samples of this epoch, float32, on the device of their ids.

        Raises:
            UsageError: A sample is not one of this rank's in this epoch (on the CPU; elsewhere its weight is NaN), or
                the method chooses in the batch.
        """
        shard = self.sampler.begun("weights")
        if self.selector.in_batch(self._epochs.at):
            raise UsageError(f"{self.method} chooses in the batch: {CALL_KEEP}")
        if id_B.device.type != "cpu":  # untested: needs a GPU
            return shard.weights(id_B)
        return self._weighed(shard, positions(id_B, len(self.table)))

    def _weighed(self, shard: Shard, ids_B: Tensor) -> Tensor:
        weight_B = shard.weights(ids_B)
        if weight_B.isnan().any():
            raise UsageError(
                f"sample {int(ids_B[weight_B.isnan()][0])} is not among those of epoch {self._epochs.at.epoch} on this "
                "rank; use chooser.sampler in the loader, and positions in the whole data set as ids"
            )
        return weight_B

    def keep(
        self,
        id_B: Tensor,
        loss_B: Tensor,
        logits_BC: Tensor | None = None,
        *,
        score_B: Tensor | None = None,
        right_B: Tensor | None = None,
        columns: Mapping[str, Tensor] | None = None,
    ) -> Kept:
        """Chooses in the batch, from a forward without gradient of all its samples; for `score="fresh"`.

        The batches of all ranks are one candidate batch. A rank of which fewer than two samples are kept trains on two
        all the same, the others with weight 0: no rank waits, and BatchNorm has something to normalise. Where the
        method does not choose in the batch, everything is kept with the epoch's weights.

        All arguments are as for `observe`, and come from the scoring forward.
        """
        shard, comm, at = self.sampler.begun("keep"), self._comm, self._epochs.at
        ids_B = positions(id_B, len(self.table))
        weight_B = self._weighed(shard, ids_B)
        if not self.selector.in_batch(at):
            everything_B = torch.ones_like(id_B, dtype=torch.bool)
            return Kept(everything_B, weight_B.to(id_B.device), len(ids_B) * comm.world_size)
        seen_B = self._observed(ids_B, loss_B, logits_BC, score_B, right_B, columns)
        counts_B = shard.counts(ids_B, at.epoch)
        seen_G = all_observed(seen_B, counts_B, comm, at.epoch)
        choice = self._selection.keep(seen_G, at)
        self._epochs.spent["scored"], self._epochs.has_kept = self._epochs.spent["scored"] + len(seen_G), True
        kept, own_B = local_part(ids_B, counts_B, seen_G.ids_B, choice, comm.world_size)
        shard.disregard(ids_B[kept.mask_B & ~own_B], at.epoch)
        left_out = ids_B[~kept.mask_B]
        nothing = Observed(left_out, {})
        self._selection.observe(
            nothing, shard.take(left_out, at.epoch)[0], torch.zeros(len(left_out), dtype=torch.bool)
        )
        weight_K = kept.weight_K * weight_B[kept.mask_B]
        return Kept(kept.mask_B.to(id_B.device), weight_K.to(id_B.device), kept.samples)

    def observe(
        self,
        id_B: Tensor,
        loss_B: Tensor,
        logits_BC: Tensor | None = None,
        *,
        score_B: Tensor | None = None,
        right_B: Tensor | None = None,
        columns: Mapping[str, Tensor] | None = None,
        kind: Kind = "trained",
    ) -> None:
        """Takes the losses of a forward: call it once for every training batch, on every rank.

        Args:
            id_B: Their positions in the data set; on the CPU, if possible.
            loss_B: One loss a sample (`reduction="none"`), on any device, without the weights.
            logits_BC: The logits behind the loss, if there is one label a sample; they give score and correctness.
            score_B: In place of logits: low for hard samples, in [0, 1]; exp(-loss) if left out.
            right_B: In place of logits: whether each sample was predicted correctly.
            columns: Further numbers that the method asks for (`selector.columns`), one entry a sample, by name.
            kind: "scored" for samples that `ids_to_score` has named.

        Raises:
            UsageError: Shapes do not fit; a sample is not of this epoch, or comes up too often.
            DivergedError: A loss is not finite; raised at once on the CPU, elsewhere at the epoch's end.
        """
        ids_B = positions(id_B, len(self.table))
        seen_B = self._observed(ids_B, loss_B, logits_BC, score_B, right_B, columns)
        if kind == "scored":
            if self._epochs.wanted is None:
                raise UsageError(
                    'observe(kind="scored") belongs between chooser.ids_to_score(epoch) and chooser.begin(epoch)'
                )
            self._epochs.scored.add(seen_B, torch.zeros_like(ids_B))
            return
        if self.selector.in_batch(self._epochs.at) and not self._epochs.has_kept:
            raise UsageError(f"{self.method} chooses in the batch: {CALL_KEEP}")
        copy_B, counts_B = self.sampler.begun("observe").take(ids_B, self._epochs.at.epoch)
        self._selection.observe(seen_B, copy_B, counts_B)

    def _observed(
        self,
        ids_B: Tensor,
        loss_B: Tensor,
        logits_BC: Tensor | None,
        score_B: Tensor | None,
        right_B: Tensor | None,
        columns: Mapping[str, Tensor] | None,
    ) -> Observed:
        """Checked observations, with the further columns that the method asks for."""
        seen_B = observation(self.population, ids_B, loss_B, logits_BC, score_B, right_B, self._epochs.at.epoch)
        return with_columns(seen_B, self.selector.columns, columns or {}, self.method)

    # --- Reports ----------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The epoch to go on with: that which has begun, while any of its samples is left, else the next one."""
        shard = self.sampler.shard
        return self._epochs.at.epoch + (shard is not None and not len(shard.left()))

    def counts(self) -> dict[str, float]:
        """Numbers of this epoch: samples chosen, padding on this rank, and what method and guards tell."""
        counts = {
            "chosen": float(len(order.samples) if (order := self._selection.order) else 0),
            "padded": float(self.sampler.shard.padded if self.sampler.shard else 0),
            "looked_at_by_training": float(self._epochs.added),
        }
        return {name: count for name, count in counts.items() if count} | self.selector.counts()

    def spent(self) -> dict[str, float]:
        """Epochs of samples trained on, and with forwards to score at a third each; of ranks, what is gathered."""
        if self._comm.world_size == 1:
            self.gather()
        return self._epochs.effective(len(self.pool_ids), self.sampler.is_drawn)

    def gather(self) -> None:
        """Brings together what ranks have observed; each calls it before one of them calls `state_dict` or `spent`."""
        self._epochs.gather(self._comm)

    def state_dict(self) -> State:
        """Tensors and JSON values, the same on every rank; a snapshot, for `torch.save`.

        Raises:
            UsageError: Ranks hold observations that have not been gathered.
        """
        if self._comm.world_size == 1:
            self.gather()
        elif self._selection.observations.is_pending:
            raise UsageError(
                "ranks hold observations of their own; call chooser.gather() on every rank before "
                "chooser.state_dict() on any"
            )
        return {
            **self._identity,
            **self._epochs.state_dict(),
            "lr_scale": self.lr_scale,
            **saved(self._selection),
        }

    def load_state_dict(self, state: State) -> None:
        """Puts back what `state_dict` gave, for any number of ranks; to be called before the first `begin`.

        An epoch that was under way goes on with the samples that had not been observed.

        Raises:
            CheckpointError: The state is damaged, or of another method, seed or data set.
        """
        state = checked(state, self._identity)
        load(self._selection, state)
        self.lr_scale = state["lr_scale"]
        self._epochs.load(state["epoch"], state["share"], state["spent"])
        self.sampler.deal(None)
        if order := self._selection.order:
            self._deal(remaining(order.samples, self._selection.observations.rows))

    @property
    def _comm(self) -> Comm:
        return self._comm_given or current_comm()
