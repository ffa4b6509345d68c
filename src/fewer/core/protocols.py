"""The promises that parts make to each other: task, data, selector, sync method, communication between processes.

Parts know neither the plan nor the loop nor each other. Letters at the ends of tensors' names: see `fewer.core.types`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from fewer.core.types import (
    At,
    Batch,
    Evaluation,
    Expectation,
    Forward,
    KeepMask,
    Outcome,
    Request,
    Selection,
    Stage,
    State,
    Worker,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fewer.core.table import Table


@runtime_checkable
class ChangesByEpoch(Protocol):
    """A model whose set of trained parameters changes during a run."""

    @property
    def changes_at(self) -> list[int]:
        """The epochs at which it changes."""
        ...

    def prepare(self, epoch: int) -> None:
        """Sets what is trained in an epoch. Idempotent."""
        ...


@runtime_checkable
class LooksAtData(Protocol):
    """A model whose first weights depend on training images."""

    def whiten(self, image_BCHW: Tensor) -> None: ...


class Data(Protocol):
    """Samples on request."""

    def batches(self, requests: Iterable[Request]) -> Iterator[Batch]:
        """One batch a request, in order: a pure function of the requests."""
        ...


class Task(Protocol):
    """What is learnt: turns a batch into losses and a model into metrics."""

    def prepare(self, model: torch.nn.Module, stage: Stage, epoch: int) -> None:
        """Readies a bare model for an epoch (frozen layers, inner sizes). Idempotent, also after a resume."""
        ...

    def outcome(self, forward: Forward, batch: Batch, at: At) -> Outcome:
        """One forward, one graph."""
        ...

    def predict(self, model: torch.nn.Module, image_BCHW: Tensor) -> Tensor:
        """What is evaluated of a model's output, in the precision of training."""
        ...

    def evaluate(self, model: torch.nn.Module, batches: Iterable[Batch], comm: Comm) -> Evaluation:
        """Metrics over the batches of all ranks together; no sample may be given to two ranks."""
        ...


class Selector(Protocol):
    """Chooses which samples count."""

    packs: bool
    """In-batch choice only: gather kept samples into batches of the plan's size, rather than shrink batches."""
    scores_in_train_mode: bool
    """Scoring forwards run as published: batch statistics, running statistics moved, dropout active."""
    scoring_side_px: int | None
    """In-batch choice only: side of the images for scoring; None: that of training."""

    def ids_to_score(self, table: Table, at: At) -> Tensor:
        """Ids to score forward-only before the epoch; often none."""
        ...

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        """The samples to load in this epoch; called once an epoch, so that a method may bring its state up to date."""
        ...

    def in_batch(self, at: At) -> bool:
        """Whether `keep` applies now."""
        ...

    def candidate_factor(self, at: At) -> float:
        """Over how many batches' worth of samples `keep` chooses at once."""
        ...

    def keep(self, ids_G: Tensor, loss_G: Tensor, score_G: Tensor, right_G: Tensor, at: At) -> KeepMask:
        """Which samples of the global candidate batch to train on."""
        ...

    def expected(self, at: At) -> Expectation:
        """What the plan prices with."""
        ...

    def series(self, table: Table) -> dict[str, Tensor]:
        """Per-class numbers worth plotting: name to a tensor of C."""
        ...

    def counts(self) -> dict[str, float]:
        """Numbers of the last epoch worth recording: name to number, such as how many samples a guard has added."""
        ...

    def suspected(self) -> Tensor:
        """Ids of samples whose labels look wrong; often none."""
        ...

    def note(self) -> str:
        """What a person should be told; shown whenever it changes."""
        ...

    def state_dict(self) -> State: ...

    def load_state_dict(self, state: State) -> None: ...


class Sync(Protocol):
    """How workers agree. `gradients` or `parameters` acts; the other is a no-op."""

    def forward(self, worker: Worker, stage: Stage, sizes: Sequence[int]) -> Forward:
        """What to call for a training forward in an epoch; `worker.model` itself stays bare.

        Args:
            worker: The replica.
            stage: The epoch's stage.
            sizes: Sizes of the epoch's batches as they reach a model, the same on every rank, most frequent first.
        """
        ...

    def gradients(self, workers: Sequence[Worker]) -> None:
        """Called after the backwards of a step: sums the workers' gradients."""
        ...

    def statistics(self, workers: Sequence[Worker]) -> None:
        """Called after forwards without a step that have moved running statistics."""
        ...

    def parameters(self, workers: Sequence[Worker], step: int) -> None:
        """Called after the optimizers' step."""
        ...

    def averaged(self, workers: Sequence[Worker]) -> torch.nn.Module:
        """A copy of the model that the workers agree on, for evaluation and export."""
        ...

    def state_dict(self) -> State: ...

    def load_state_dict(self, state: State) -> None: ...


class Comm(Protocol):
    """How processes exchange tensors. Every call takes one tensor for each local worker."""

    workers: int
    """All workers of the run."""
    rank: int
    """The rank of this process."""

    def all_reduce(self, tensors_W: Sequence[Tensor]) -> None:
        """Replaces every tensor by the sum over all workers."""
        ...

    def gather(self, tensors_W: Sequence[Tensor]) -> Tensor:
        """All workers' tensors, joined along the first dimension in the order of worker ids."""
        ...

    def broadcast(self, tensors_W: Sequence[Tensor]) -> None:
        """Replaces every tensor by worker 0's."""
        ...

    def take_bytes_sent(self) -> int:
        """Payload that this process has sent since the last call, for a ring: 2 (K - 1) / K of a reduced tensor."""
        ...
