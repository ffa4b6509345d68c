"""The types that the parts exchange: a moment, a request, a batch, an outcome, a selection, an evaluation.

Names of tensors carry their shape. B: samples of a batch on this worker. G: samples of the global batch, in global
order. N: all ids of the source. M: samples chosen for an epoch. C: classes. W: workers of this process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Forward = Callable[["Tensor"], Any]
WORST_SAMPLES = 64  # that an evaluation lists, at most
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
    """

    epoch: int
    epochs: int
    progress: float
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """Whole epochs with one image side and one batch size."""

    index: int
    first_epoch: int
    epochs: int
    side_px: int
    batch_size: int


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


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples as a model takes them. `inputs` and `targets` have the batch as their first dimension."""

    ids_B: Tensor
    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.ids_B)

    def take(self, index: Tensor | slice) -> Batch:
        """The samples at `index` (positions, mask or slice)."""
        return Batch(self.ids_B[index], self.inputs[index], self.targets[index])

    def to(self, device: torch.device) -> Batch:
        return Batch(self.ids_B, self.inputs.to(device), self.targets.to(device))

    @staticmethod
    def joined(batches: Sequence[Batch]) -> Batch:
        """One batch of several, in their order."""
        import torch

        batches = [batch for batch in batches if len(batch)] or batches[:1]  # an empty one has no layout, and takes it
        if len(batches) == 1:
            return batches[0]
        return Batch(
            torch.cat([batch.ids_B for batch in batches]),
            torch.cat([batch.inputs for batch in batches]),
            torch.cat([batch.targets for batch in batches]),
        )


def first(output: Any) -> Tensor:
    """The logits in what a model gives: the output itself, or the first of several (auxiliary heads follow)."""
    found: Tensor = output[0] if isinstance(output, (tuple, list)) else output
    return found


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one forward says of each sample of a batch.

    Attributes:
        loss_sum_B: Sum of the sample's losses (one for an image label, many for pixels); carries the graph.
        count_B: How many losses that sum holds.
        score_B: exp(H(y) - CE(y, p)) in [0, 1]; low is hard; the true class's probability for a plain label.
        right_B: Whether the prediction is correct.
    """

    loss_sum_B: Tensor
    count_B: Tensor
    score_B: Tensor
    right_B: Tensor


@dataclass(frozen=True, slots=True)
class WorstSample:
    """A sample with a high loss.

    Attributes:
        id: Its id.
        loss: Its loss.
        true: Its class.
        predicted: The class that the model found most probable.
        probability: Which probability that class was given.
    """

    id: int
    loss: float
    true: int
    predicted: int
    probability: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Exact metrics of a model on a set, equal on every rank.

    Attributes:
        scalars: Metric name to value, such as `top1`.
        tables: Metric name to nested lists, such as `confusion` (rows: true class).
        worst: The samples with the highest loss, worst first.
    """

    scalars: dict[str, float]
    tables: dict[str, Any] = field(default_factory=dict)
    worst: list[WorstSample] = field(default_factory=list)

    def named(self, split: str, names: Sequence[str]) -> tuple[dict[str, float], dict[str, Any]]:
        """Metrics and tables as files hold them.

        Args:
            split: Which images these were: the keys begin with it.
            names: The path of every id in the source.
        """
        tables = {
            **self.tables,
            "worst": [names[sample.id] for sample in self.worst],
            "worst_samples": [asdict(sample) for sample in self.worst],
        }
        metrics = {f"{split}/{key}": value for key, value in self.scalars.items()}
        return metrics, {f"{split}/{key}": value for key, value in tables.items()}


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
    """What a selector will do in an epoch, for pricing: shares of the training set.

    Attributes:
        kept_low, kept_high: Bounds of the share that is trained on.
        scored: Share that is scored forward-only, before the epoch or in the batch.
    """

    kept_low: float
    kept_high: float
    scored: float = 0.0


@dataclass(frozen=True, slots=True)
class Population:
    """What a selector may know of the training set.

    Attributes:
        seed: The run's seed.
        label_N: Class of every id, int64; -1 where an id is not a training sample.
        classes: Number of classes.
        reference_loss_N: Loss of every id under a reference model, for methods that ask for one; NaN where unknown.
    """

    seed: int
    label_N: Tensor
    classes: int
    reference_loss_N: Tensor | None = None


@dataclass(slots=True)
class Worker:
    """One replica that trains: one in a process, or several in a simulation."""

    id: int
    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
