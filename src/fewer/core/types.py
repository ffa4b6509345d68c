"""The types that the parts exchange: a moment, a request, a batch, an outcome, a selection, an evaluation.

Names of tensors carry their shape. B: samples of a batch on this worker. G: samples of the global batch, in global
order. N: all ids of the source. M: samples chosen for an epoch. C: classes. W: workers of this process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fewer.core import ragged
from fewer.core.ramp import Ramp

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fewer.core.ragged import Values
    from fewer.core.update_norms import UpdateNorms

Forward = Callable[..., Any]  # takes what the task gives it: images, and for some models the targets too
State = dict[str, Any]  # nested dicts of tensors and of what JSON can hold


@dataclass(frozen=True, slots=True)
class At:
    """A moment of the run, as the parts see it.

    Attributes:
        epoch: The current epoch, from 0.
        epochs: All epochs of the run.
        progress: Share of the run that lies behind, in [0, 1].
        share: The share of the training images that the epoch is to train on, where `select.cost` decides it; then it
            takes the place of a method's own amount. None: the method decides.
        data_share: The share of the training images that the stage shows in this epoch; all other shares are shares of
            these.
        last_share: What `share` was planned to be in the epoch before, where shares oscillate; None: the same.
        last_data_share: What `data_share` was in the epoch before; None: the same.
    """

    epoch: int
    epochs: int
    progress: float
    share: float | None = None
    data_share: float = 1.0
    last_share: float | None = None
    last_data_share: float | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """Whole epochs in which nothing changes by plan: the carrier of all that a curriculum sets.

    Attributes:
        index: Its place among the stages, from 0.
        first_epoch, epochs: Which epochs.
        side_px: Height and width of the training images.
        batch_size: Images of one optimizer step, over all workers.
        strength: Augmentation strength of the first epoch's training views; 1 is as the recipe has it, 0 is the
            evaluation view.
        last_strength: That of the last epoch, reached in equal steps; None: the same.
        lr_scale: Factor on the learning rate, that of the batch size included.
        evaluation_side_px: Height and width of the images that the stage's models are evaluated at.
        data_share: The share of the training images that an epoch shows.
        frozen_layers: How many layers are frozen, in the order in which they run.
        mix: Factor on the probability that a batch is mixed; None: the strength.
        lr_ramp_epochs: Epochs at its start in which the learning rate rises in a straight line.
        lr_ramp_start: Share of the learning rate that this begins with.
        keeps_features: Whether what the frozen layers give is computed once and kept, in place of the images.
        ramp: The sides of its batches, where each draws its own; `side_px` is the largest of them.
        batch_growth: How many times `batch_size` the batches of each of its epochs are; empty: once, in all.
    """

    index: int
    first_epoch: int
    epochs: int
    side_px: int
    batch_size: int
    strength: float = 1.0
    lr_scale: float = 1.0
    evaluation_side_px: int = 0
    data_share: float = 1.0
    frozen_layers: int = 0
    mix: float | None = None
    lr_ramp_epochs: float = 0.0
    lr_ramp_start: float = 1.0
    last_strength: float | None = None
    keeps_features: bool = False
    ramp: Ramp | None = None
    batch_growth: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.evaluation_side_px:
            object.__setattr__(self, "evaluation_side_px", self.side_px)

    @property
    def sides_px(self) -> tuple[int, ...]:
        """Every side that it may train at, ascending."""
        return self.ramp.sides_px if self.ramp else (self.side_px,)

    @property
    def sides_text(self) -> str:
        """Its sides in words: `32`, or `16-32`."""
        return "-".join(map(str, dict.fromkeys((self.sides_px[0], self.sides_px[-1]))))

    def growth_at(self, epoch: int) -> int:
        """How many times `batch_size` the batches of an epoch are."""
        return self.batch_growth[epoch - self.first_epoch] if self.batch_growth else 1

    def batch_size_at(self, epoch: int) -> int:
        """Images of one optimizer step of an epoch, over all workers."""
        return self.batch_size * self.growth_at(epoch)

    @property
    def largest_batch_size(self) -> int:
        """Images of its largest optimizer step."""
        return self.batch_size * max(self.batch_growth, default=1)

    @property
    def batch_text(self) -> str:
        """Its batch size in words: `128`, or `128-512`."""
        sizes = [self.batch_size * growth for growth in self.batch_growth or (1,)]
        return "-".join(map(str, dict.fromkeys((min(sizes), max(sizes)))))

    def batch_sides_px(self, epoch: int, batches: Sequence[int]) -> list[int]:
        """The side of each of some batches of an epoch, which are given by their numbers."""
        if not self.ramp:
            return [self.side_px] * len(batches)
        return self.ramp.drawn(self.ramp.shares(epoch - self.first_epoch, self.epochs), epoch, batches)

    def strength_at(self, epoch: int) -> float:
        """The augmentation strength of an epoch."""
        steps = self.epochs - 1
        if self.last_strength is None or not steps:
            return self.strength
        done = epoch - self.first_epoch
        if done >= steps:
            return self.last_strength
        return self.strength + (self.last_strength - self.strength) * (done / steps)


@dataclass(frozen=True, slots=True)
class Request:
    """All that ever reaches a loader: which samples, as which view. Loaders keep no state.

    Attributes:
        ids_B: Sample ids, int64.
        epoch: The epoch that augmentation is drawn for.
        side_px: Height and width of the images wanted.
        strength: Augmentation strength; 0 is the evaluation view.
        copy_B: Which repetition of its sample each entry is, where samples repeat within an epoch.
    """

    ids_B: Tensor
    epoch: int
    side_px: int
    strength: float = 1.0
    copy_B: Tensor | None = None

    @classmethod
    def training(
        cls, stage: Stage, epoch: int, ids_B: Tensor, copy_B: Tensor | None = None, side_px: int = 0
    ) -> Request:
        """The training views of some samples, as a stage has them; at its largest side, or at that of their batch."""
        return cls(ids_B, epoch, side_px or stage.side_px, stage.strength_at(epoch), copy_B)

    @classmethod
    def evaluation(cls, side_px: int, epoch: int, ids_B: Tensor) -> Request:
        """The evaluation views of some samples."""
        return cls(ids_B, epoch, side_px, strength=0.0)


@dataclass(frozen=True, slots=True)
class Mixed:
    """The other half of a batch whose images are blends of two.

    Attributes:
        targets: Those of the images that were mixed in.
        share_B: Share of the image that gives a sample its id and its place in `Batch.targets`, float64.
    """

    targets: Values
    share_B: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples as a model takes them.

    Attributes:
        ids_B: Sample ids, int64.
        inputs, targets: A tensor with the batch as its first dimension, or `Ragged` with a value for each sample.
        mixed: What else is in the images, where these are blends.
    """

    ids_B: Tensor
    inputs: Values
    targets: Values
    mixed: Mixed | None = None

    def __len__(self) -> int:
        return len(self.ids_B)

    def take(self, index: Tensor | slice) -> Batch:
        """The samples at `index` (positions, mask or slice)."""
        mixed = self.mixed and Mixed(ragged.take(self.mixed.targets, index), self.mixed.share_B[index])
        return Batch(self.ids_B[index], ragged.take(self.inputs, index), ragged.take(self.targets, index), mixed)

    def to(self, device: torch.device) -> Batch:
        mixed = self.mixed and Mixed(ragged.to(self.mixed.targets, device), self.mixed.share_B)
        return Batch(self.ids_B, ragged.to(self.inputs, device), ragged.to(self.targets, device), mixed)

    @staticmethod
    def joined(batches: Sequence[Batch]) -> Batch:
        """One batch of several that are not mixed, in their order."""
        import torch

        batches = [batch for batch in batches if len(batch)] or batches[:1]  # an empty one has no layout, and takes it
        if len(batches) == 1:
            return batches[0]
        return Batch(
            torch.cat([batch.ids_B for batch in batches]),
            ragged.joined([batch.inputs for batch in batches]),
            ragged.joined([batch.targets for batch in batches]),
        )


def first(output: Any) -> Tensor:
    """The logits in what a model gives: the output itself, or the first of several (auxiliary heads follow)."""
    found: Tensor = output[0] if isinstance(output, (tuple, list)) else output
    return found


@dataclass(frozen=True, slots=True)
class Caption:
    """Words under a thumbnail of a contact sheet.

    Attributes:
        label: The prediction in words.
        number: Stands for the label where the font lacks its characters.
        share: How sure the model is, in [0, 1]; drawn as a bar.
    """

    label: str
    number: int
    share: float


@dataclass(frozen=True, slots=True)
class Selection:
    """The samples of an epoch, in no order; the loop shuffles them.

    Attributes:
        ids_M: Sample ids; one listed twice is trained on twice.
        weight_M: Loss weights, float64.
        lr_scale: Factor on the learning rate for this epoch.
    """

    ids_M: Tensor
    weight_M: Tensor
    lr_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class KeepMask:
    """Which samples of a global candidate batch are trained on, and with which loss weights (float64)."""

    mask_G: Tensor
    weight_G: Tensor


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a selector will do in an epoch, for pricing: shares of the images that the epoch shows.

    Attributes:
        kept_low, kept_high: Bounds of the share that is trained on.
        scored: Share that is scored forward-only, before the epoch or in the batch.
    """

    kept_low: float
    kept_high: float
    scored: float = 0.0


@dataclass(frozen=True, slots=True)
class SyncPoint:
    """An optimizer step behind which workers may exchange parameters; attempted steps count, so that none falls behind.

    Attributes:
        step: Its number, from 1.
        progress: Share of the schedule that lies behind it, in [0, 1]; a run that ends early takes the rest faster.
        epochs: All epochs of the schedule.
        epochs_past: Epochs that lie behind it, as they were trained.
        lr: Learning rate of the weights that it was taken with.
        loss: Its mean training loss over all workers.
        samples: Its samples over all workers.
        samples_L: Those of each worker of this process.
        skipped_L: Whether float16 let each of them skip it.
    """

    step: int
    progress: float
    epochs: int
    epochs_past: float
    lr: float
    loss: float
    samples: int
    samples_L: Sequence[int]
    skipped_L: Sequence[bool]


@dataclass(slots=True)
class Worker:
    """One replica that trains: one in a process, or several in a process that simulates them.

    Attributes:
        id: Its number among all workers of the run.
        model: The bare model.
        optimizer: Of this model's parameters.
        scaler: Scales the loss for float16, and steps unless a gradient has overflowed; idle for other precisions.
        held: Loaded samples that wait in the packer's queue. Not saved: they are loaded again.
        update_norms: How far the epoch's last step moved each layer, of the first worker, once it was taken. Not saved.
    """

    id: int
    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    held: Batch | None = None
    update_norms: UpdateNorms | None = None
