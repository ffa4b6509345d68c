"""The promises that parts make to each other: task, data, selector, sync method, communication between processes.

Parts know neither the plan nor the loop nor each other. Letters at the ends of tensors' names: see `fewer.core.types`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fewer.core.evaluation import Evaluation, Metric
from fewer.core.observation import Column, Observed, Outcome
from fewer.core.prediction_format import PredictionFormat as PredictionFormat
from fewer.core.types import (
    At,
    Batch,
    Expectation,
    Forward,
    KeepMask,
    Request,
    Selection,
    Stage,
    State,
    SyncPoint,
    Worker,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fewer.core.ragged import Values
    from fewer.core.table import Table


class Data(Protocol):
    """Samples on request."""

    def batches(self, requests: Iterable[Request]) -> Iterator[Batch]:
        """One batch a request, in order: a pure function of the requests."""
        ...


class Task(Protocol):
    """What is learnt: turns a batch into losses, a model into metrics, and an image into a prediction."""

    name: str
    """The task's name in recipes, which is that of its folder in `fewer.tasks` and of its part of the report."""
    primary: Metric
    """Decides which model is the best, and what a comparison compares."""
    step_metrics: tuple[Metric, ...]
    """The metrics in `Outcome.metrics`, in the order in which they are recorded."""
    scoring_mode: Literal["eval", "train"]
    """How a model is put for forwards without a step; "train" where it gives losses in train mode only."""

    def prepare(self, model: torch.nn.Module, stage: Stage, epoch: int) -> None:
        """Readies a bare model for an epoch (inner sizes, layers that the task freezes). Idempotent."""
        ...

    def outcome(self, forward: Forward, batch: Batch, at: At, columns: Sequence[Column] = ()) -> Outcome:
        """One forward, one graph. A sample's entries do not depend on the other samples of the batch.

        `columns` are computed from the same output, without gradient.
        """
        ...

    def output(self, forward: Forward, inputs: Values) -> Any:
        """The model's output for some images: one forward, in the precision of training.

        BatchNorm's statistics are estimated by it, and the ledger books one forward an image.
        """
        ...

    def predict(self, model: torch.nn.Module, inputs: Values) -> Any:
        """What is evaluated of a model's output, of one forward or more, in the precision of training."""
        ...

    def predictions(self, model: torch.nn.Module, batch: Batch, most: int) -> list[Any]:
        """What a user is shown of each image, as `format` writes it.

        Args:
            model: In evaluation mode.
            batch: The images; targets tell at most where each lies in its frame, as of images without labels.
            most: How many answers an image has at most, where a task gives several (classes, boxes).
        """
        ...

    def format(self, most: int) -> PredictionFormat:
        """How predictions of at most so many answers are written and drawn."""
        ...

    def evaluate(self, model: torch.nn.Module, batches: Iterable[Batch], comm: Comm) -> Evaluation:
        """Metrics over the batches of all ranks together; no sample may be given to two ranks.

        Its scalars have the primary metric and `loss`, whatever the samples.
        """
        ...

    def dummy_batch(self, side_px: int, device: torch.device, dtype: torch.dtype) -> Batch:
        """Two samples of no meaning, to count FLOPs and to try a model with; on "meta" nothing is computed."""
        ...

    def dry_run(self, model: torch.nn.Module, batch: Batch) -> None:
        """One forward of a dummy batch.

        Raises:
            ValueError: The model's output is not what the task takes; the message goes on behind the model's name.
        """
        ...

    def metadata(self) -> dict[str, Any]:
        """What using a published model takes besides the model, as JSON: the task's `name` and its own keys."""
        ...


class Selector(Protocol):
    """Chooses which samples count."""

    packs: bool
    """In-batch choice only: gather kept samples into batches of the plan's size, rather than shrink batches."""
    scores_in_train_mode: bool
    """Scoring forwards run as published: batch statistics, running statistics moved, dropout active."""
    scoring_side_px: int | None
    """In-batch choice only: side of the images for scoring; None: that of training."""
    columns: Sequence[Column]
    """Further numbers of each sample that the method asks for, beside loss, score and correctness."""

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

    def keep(self, seen_G: Observed, at: At) -> KeepMask:
        """Which samples of the global candidate batch to train on, from a forward-only look at each."""
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
        """A note to the user; shown whenever it changes."""
        ...

    def state_dict(self) -> State: ...

    def load_state_dict(self, state: State) -> None: ...


class Comm(Protocol):
    """How processes exchange tensors. A process may hold several workers: what these exchange is a `Sync`'s."""

    world_size: int
    """Number of processes."""
    rank: int
    """The number of this process."""
    machines: int
    """How many machines bytes are booked for: the processes, or the workers that these simulate, one on each."""

    def all_reduce(self, tensor: Tensor) -> None:
        """Replaces a tensor by its sum over all processes."""
        ...

    def gather(self, tensor: Tensor) -> Tensor:
        """All processes' tensors, joined along the first dimension in the order of ranks; lengths may differ."""
        ...

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Replaces tensors by those of process 0."""
        ...

    def exchange(self, rows: Tensor) -> Tensor:
        """Sends row p to process p; all rows have equal shapes on all processes.

        Returns:
            What each process has sent to this one, a row each, in the order of ranks.
        """
        ...

    def take_bytes_sent(self) -> int:
        """Payload that this process has sent since the last call, for a ring: 2 (P - 1) / P of a reduced tensor.

        A process that simulates several workers books what these would send on machines of their own.
        """
        ...

    def book(self, bytes_sent: int) -> None:
        """Adds to what `take_bytes_sent` gives."""
        ...


class Sync(Protocol):
    """How workers agree, whether each is a process or several are simulated by one. L: workers of this process."""

    workers: int
    """All workers of the run."""
    local_ids: Sequence[int]
    """Ids of the workers of this process."""
    keeps_equal: bool
    """Whether all workers hold the same weights behind every step, so that one speaks for all."""
    excludes_nonfinite: bool
    """Whether a worker whose numbers are no longer finite is left out of the next sync, rather than ending the run."""

    def denominator(self, of_all: float, of_worker: float) -> float:
        """By what a worker divides its sum of losses: before the backward by samples, behind it by losses.

        Args:
            of_all: Samples or losses of the step over all workers.
            of_worker: Those on this worker.
        """
        ...

    def reduce_totals(self, sums_L: Sequence[Tensor]) -> Tensor:
        """Sums of a step's totals over all workers, from those of each local worker; the same on every process."""
        ...

    @property
    def is_exchanging(self) -> bool:
        """Whether some of the step's gradients are on their way, so that no process can do the step again alone."""
        ...

    def begin_backward(self, workers: Sequence[Worker], is_last: bool) -> None:
        """Called before every backward of a step; the gradients of the last may leave as they come."""
        ...

    def end_backward(self, workers: Sequence[Worker]) -> None:
        """Called behind the backwards of a step, by processes without samples too."""
        ...

    def sync_gradients(self, workers: Sequence[Worker]) -> None:
        """Called after the backwards of a step."""
        ...

    def sync_buffers(self, workers: Sequence[Worker]) -> None:
        """Called after forwards without a step that have moved running statistics."""
        ...

    def sync_parameters(self, workers: Sequence[Worker], at: SyncPoint) -> int:
        """Called behind every optimizer step.

        Returns:
            Samples trained on since all workers last held the same weights, where they now do; 0 where they do not.
        """
        ...

    def finish(self, workers: Sequence[Worker]) -> int:
        """Called where all workers must agree, as behind the last step: ends a round; returns what that one returns."""
        ...

    def take_report(self) -> Mapping[str, float]:
        """Numbers worth recording of syncs since the last call, by names that begin with `sync_`; often none."""
        ...

    def consensus(self, workers: Sequence[Worker]) -> torch.nn.Module:
        """The model that the workers agree on, or would by an average now; every process must call it.

        It changes nothing. It may be a worker's own model, so whoever changes it makes a copy.
        """
        ...

    def require_equal(self, workers: Sequence[Worker], digests_L: Sequence[int]) -> None:
        """Called at the end of each epoch with a hash of each local worker's weights.

        Raises:
            RuntimeError: Workers that must be equal are not: hardware, or a bug.
        """
        ...

    def state_dict(self) -> State: ...

    def load_state_dict(self, state: State) -> None: ...


class Average(Protocol):
    """An average of the weights that follows the steps, or pulls the model."""

    def update(self, models: Sequence[torch.nn.Module], samples: int, step: int, progress: float) -> None:
        """Called behind every optimizer step after which all workers hold the same weights.

        Args:
            models: The models of this process's workers, equal to each other.
            samples: Samples since the last call.
            step: The step's number, from 1.
            progress: Share of the run before its batch.
        """
        ...

    def end_epoch(self, models: Sequence[torch.nn.Module]) -> None:
        """Called at the end of each epoch."""
        ...

    def load_into(self, model: torch.nn.Module) -> None:
        """Gives a copy of the model the averaged weights, where those are what is evaluated."""
        ...

    def state_dict(self) -> State: ...

    def load_state_dict(self, state: State, model: torch.nn.Module) -> None:
        """Puts back what `state_dict` gave, in the memory layout of the model's own weights."""
        ...
