"""Outcomes of forwards, and observations of samples as named columns.

B: samples of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fewer.core.types import Batch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one forward says of each sample of a batch.

    Attributes:
        loss_sum_B: Sum of the sample's losses (one for an image label, many for pixels); carries the graph.
        count_B: How many losses that sum holds.
        score_B: exp(H(y) - CE(y, p)) in [0, 1]; low is hard; the true class's probability for a plain label.
        right_B: Whether the prediction is correct.
        metrics: The task's step metrics of each sample (B), by name: their means over samples are recorded.
        columns: Further numbers of each sample, by the names of the `Column`s that were asked for: (B) or (B, width).
        floor_B: The part of `loss_sum_B` that is there although the prediction is the target itself, as for a mixed
            image, whose target has an entropy. None: there is none.
    """

    loss_sum_B: Tensor
    count_B: Tensor
    score_B: Tensor
    right_B: Tensor
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    floor_B: Tensor | None = None

    def observed(self, ids_B: Tensor) -> Observed:
        """What a table may learn from this outcome: the mean loss of each sample above its floor, without the graph."""
        loss_B = self.loss_sum_B.detach()
        if self.floor_B is not None:
            loss_B = (loss_B - self.floor_B).clamp(min=0)
        loss_B = loss_B / self.count_B.clamp(min=1)
        return Observed(ids_B, {"loss": loss_B, "score": self.score_B, "right": self.right_B, **self.columns})


@dataclass(frozen=True, slots=True)
class Column:
    """A further number of each sample that a selection method asks for, such as a margin or an embedding.

    Attributes:
        name: Its name in the table.
        compute: From a model's output and the batch to float numbers, (B) or (B, width); called without gradient. None:
            the task has the column of this name (`fewer.core.abilities.HasColumns`).
        width: Numbers a sample.
        in_training: Whether training forwards give it, too, and not only those without a step.
    """

    name: str
    compute: Callable[[Any, Batch], Tensor] | None = None
    width: int = 1
    in_training: bool = True


def observe(columns: Sequence[Column], output: Any, batch: Batch) -> dict[str, Tensor]:
    """The columns that were asked for, computed from a model's output, by name."""
    import torch

    with torch.no_grad():
        return {column.name: column.compute(output, batch) for column in columns if column.compute}


@dataclass(frozen=True, slots=True)
class Observed:
    """Observations of some samples as named columns.

    Attributes:
        ids_B: Sample ids, int64.
        columns: `loss`, `score` and `right`, and whatever else was asked for, one entry a sample.
    """

    ids_B: Tensor
    columns: Mapping[str, Tensor]

    @classmethod
    def of(cls, ids_B: Tensor, loss_B: Tensor, score_B: Tensor, right_B: Tensor, **columns: Tensor) -> Observed:
        """Observations by their columns."""
        return cls(ids_B, {"loss": loss_B, "score": score_B, "right": right_B, **columns})

    def __len__(self) -> int:
        return len(self.ids_B)

    @staticmethod
    def joined(parts: Sequence[Observed]) -> Observed:
        """One after another; there is one at least, and all have the same columns."""
        import torch

        names = parts[0].columns
        columns = {name: torch.cat([part.columns[name] for part in parts]) for name in names}
        return Observed(torch.cat([part.ids_B for part in parts]), columns)

    @property
    def loss_B(self) -> Tensor:
        """Mean loss of each sample."""
        return self.columns["loss"]

    @property
    def score_B(self) -> Tensor:
        """Score of each sample in [0, 1]; low is hard."""
        return self.columns["score"]

    @property
    def right_B(self) -> Tensor:
        """Whether each sample is predicted correctly, bool."""
        return self.columns["right"]

    def take(self, index: Tensor | slice) -> Observed:
        """The observations at `index` (positions, mask or slice)."""
        return Observed(self.ids_B[index], {name: values[index] for name, values in self.columns.items()})
