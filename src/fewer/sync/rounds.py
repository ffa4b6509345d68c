"""The engine of local methods: workers step alone for some steps, then agree, one flat exchange a round.

Stich, "Local SGD Converges Fast and Communicates Little", ICLR 2019: `x <- sum_k (n_k / n) x_k`, where n_k are the
samples of worker k in the round. What is done with that mean is an outer update (`fewer.sync.methods`).

Attempted steps count: a worker whose step float16 skips counts it as all others do, so that none falls behind. A sync
takes three exchanges: a few numbers and the running statistics in float64, the weights, and how far apart the workers
were. It copies into the parameters in place; memory format and addresses stay.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from fewer.core.errors import DivergedError
from fewer.core.protocols import Comm
from fewer.core.types import State, SyncPoint, Worker
from fewer.sync.agreement import Agreement, agree
from fewer.sync.base import BaseSync, at_least_one
from fewer.sync.exchange import Payload, Tensors, weighted_mean
from fewer.sync.gathering import gathered
from fewer.sync.inner_state import average_states, reset_state
from fewer.sync.local_params import LocalParams
from fewer.sync.payloads import PAYLOADS
from fewer.sync.round import Outer, Round, Schedule, Spread
from fewer.sync.schedules import STEP_SCHEDULES
from fewer.sync.statistics import load_counts, load_moments

if TYPE_CHECKING:
    from torch import nn


class Rounds(BaseSync):
    """Local steps and syncs.

    Args:
        comm: The exchange between processes.
        workers: All workers of the run; one a process if left out.
        params: The keys of all local methods.
        schedule: Says how many steps each round has.
        payload: The form in which weights are sent.
        outer: What is done with the mean; the workers take it as it is, if left out.
    """

    def __init__(
        self,
        comm: Comm,
        workers: int | None,
        params: LocalParams,
        schedule: Schedule,
        payload: Payload,
        outer: Outer | None = None,
    ) -> None:
        super().__init__(comm, workers)
        self.excludes_nonfinite = params.on_nonfinite == "exclude"
        self._inner_state, self._schedule, self._payload, self._outer = params.inner_state, schedule, payload, outer
        self._length = params.every_steps
        self._lr, self._epochs_past = 0.0, 0.0
        self._report: dict[str, float] = {}
        self._begin()

    def _begin(self) -> None:
        """A round of no steps yet."""
        self._steps, self._samples, self._loss_sum = 0, 0, 0.0
        self._samples_L, self._skipped_L = [0] * len(self.local_ids), [0] * len(self.local_ids)
        self._moved: set[int] = set()  # places of the parameters that are trained in this round
        self._anchors: dict[int, torch.Tensor] = {}  # what they were at its start

    @property
    def steps_left(self) -> int:
        """Steps until the next sync."""
        return self._length - self._steps

    def denominator(self, of_all: float, of_worker: float) -> float:
        found: float = at_least_one(of_worker)
        return found

    @torch.no_grad()
    def sync_gradients(self, workers: Sequence[Worker]) -> None:
        """Takes note of what a step is about to move, before it does."""
        needs_anchors = self._outer or self._payload.sends_changes or self._schedule.wants_spread
        for place, parameter in enumerate(workers[0].model.parameters()):
            if parameter.requires_grad and place not in self._moved:
                self._moved.add(place)
                if needs_anchors:
                    self._anchors[place] = parameter.detach().clone()

    def sync_parameters(self, workers: Sequence[Worker], at: SyncPoint) -> int:
        self._steps, self._samples = self._steps + 1, self._samples + at.samples
        self._loss_sum += at.loss * at.samples
        self._samples_L = [sum(pair) for pair in zip(self._samples_L, at.samples_L, strict=True)]
        self._skipped_L = [sum(pair) for pair in zip(self._skipped_L, at.skipped_L, strict=True)]
        self._lr, self._epochs_past = at.lr, at.epochs_past
        return self._synced(workers) if self._steps >= self._length else 0

    def finish(self, workers: Sequence[Worker]) -> int:
        return self._synced(workers) if self._steps else 0

    def take_report(self) -> Mapping[str, float]:
        report, self._report = self._report, {}
        return report

    @torch.no_grad()
    def consensus(self, workers: Sequence[Worker]) -> nn.Module:
        """The workers' mean as it is now, without an outer update, in full precision whatever the payload."""
        if not self._steps or self.workers == 1:
            return workers[0].model
        agreement = self._agree(workers)
        means = weighted_mean(self.comm, self._trained(workers), agreement.weights_L)
        model = copy.deepcopy(workers[0].model)
        _load(model, means, agreement)
        return model

    # --- A sync ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _synced(self, workers: Sequence[Worker]) -> int:
        """Brings all workers together; returns the samples of the round."""
        agreement, vectors_L = self._agree(workers), self._trained(workers)
        means = self._payload.mean(vectors_L, agreement.weights_L, self._anchors)
        spread = self._measured(vectors_L, means, agreement)
        new = self._outer.update(self._anchors, means, _lrs(workers[0])) if self._outer else means
        for worker in workers:
            _load(worker.model, new, agreement)
        self._bring_together(workers, agreement)
        samples = self._samples
        ended = Round(self._steps, self._lr, self._epochs_past, samples, self._loss_sum / max(1, samples), spread)
        self._length = max(1, self._schedule.next(ended))
        self._begin()
        return samples

    def _agree(self, workers: Sequence[Worker]) -> Agreement:
        """What each worker weighs.

        Raises:
            DivergedError: A worker is not finite and may not be left out, or none is left; on all processes.
        """
        found = agree(self.comm, workers, self._samples_L, self._skipped_L, self.workers > 1)
        if found.excluded and not (self.excludes_nonfinite and found.is_any_left):
            raise DivergedError(
                f"the weights of {found.excluded} of {self.workers} workers are not finite behind {self._steps} local "
                "steps; they were not synced and the last good checkpoint is kept; lower train.lr, or set "
                'sync.on_nonfinite = "exclude", which leaves out single workers'
            )
        return found

    def _trained(self, workers: Sequence[Worker]) -> list[Tensors]:
        """The parameters of each worker that the round has trained, by their places."""
        return [
            {place: p.detach() for place, p in enumerate(worker.model.parameters()) if place in self._moved}
            for worker in workers
        ]

    def _bring_together(self, workers: Sequence[Worker], agreement: Agreement) -> None:
        """What becomes of the workers' optimizers."""
        for worker, weight, samples in zip(workers, agreement.weights_L, self._samples_L, strict=True):
            if self._inner_state == "reset" or (samples and not weight):
                reset_state(worker.optimizer)
        if self._inner_state == "averaged" and self.workers > 1:
            average_states(self.comm, workers, agreement.weights_L)

    def _measured(self, vectors_L: Sequence[Tensors], means: Tensors, agreement: Agreement) -> Spread | None:
        """Reports how far apart the workers were, relative to their mean; returns their spread, where it is wanted."""
        wanted = self._schedule.wants_spread and self.workers > 1
        sums = torch.zeros(2, dtype=torch.float64)
        for vectors, weight in zip(vectors_L, agreement.weights_L, strict=True):
            if weight:
                sums[0] += weight * _squared_distance(vectors, means)
                sums[1] += _squared_distance(vectors, self._anchors) if wanted else 0.0
        self.comm.all_reduce(sums)
        apart, ways = sums.tolist()
        size = math.sqrt(sum(float(mean.double().square().sum()) for mean in means.values()))
        self._report = {"sync_steps": self._steps, "sync_distance": math.sqrt(apart) / size if size else 0.0}
        self._report |= {"sync_excluded": agreement.excluded} if agreement.excluded else {}
        self._report |= {"sync_skipped": agreement.skipped} if agreement.skipped else {}
        count = self.workers - agreement.excluded
        if not wanted or count < 2:
            return None
        common = _squared_distance(means, self._anchors)
        noise = max(0.0, ways - count * common) / (count - 1)
        return Spread(common - noise / count, noise)

    # --- State ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> State:
        """All of it; every process must call it."""
        mine = [
            {"samples": samples, "skipped": skipped, "kept_back": kept_back}
            for samples, skipped, kept_back in zip(
                self._samples_L, self._skipped_L, self._payload.states(), strict=True
            )
        ]
        return {
            "length": self._length,
            "steps": self._steps,
            "samples": self._samples,
            "loss_sum": self._loss_sum,
            "lr": self._lr,
            "epochs_past": self._epochs_past,
            "moved": torch.tensor(sorted(self._moved), dtype=torch.int64),
            "anchors": {str(place): anchor for place, anchor in self._anchors.items()},
            "workers": {str(id): state for id, state in enumerate(gathered(mine, self.comm))},
            "schedule": self._schedule.state_dict(),
            "outer": self._outer.state_dict() if self._outer else {},
        }

    def load_state_dict(self, state: State) -> None:
        self._length, self._steps, self._samples = state["length"], state["steps"], state["samples"]
        self._loss_sum, self._lr = state["loss_sum"], state["lr"]
        known = "epochs_past" in state  # by checkpoints that are older, progress and epochs
        self._epochs_past = state["epochs_past"] if known else state["progress"] * state["epochs"]
        self._moved = set(state["moved"].tolist())
        self._anchors = {int(place): anchor.clone() for place, anchor in state["anchors"].items()}
        mine = [state["workers"][str(id)] for id in self.local_ids]
        self._samples_L, self._skipped_L = [each["samples"] for each in mine], [each["skipped"] for each in mine]
        self._payload.load_states([each["kept_back"] for each in mine])
        self._schedule.load_state_dict(state["schedule"])
        if self._outer:
            self._outer.load_state_dict(state["outer"])


def build_rounds(params: LocalParams, comm: Comm, workers: int | None, outer: Outer | None = None) -> Rounds:
    """The engine of a local method.

    Args:
        params: The method's keys.
        comm: The exchange between processes.
        workers: All workers of the run; one a process if left out.
        outer: What is done with the workers' mean; they take it as it is, if left out.
    """
    schedule = STEP_SCHEDULES.module(params.schedule).build(params, params.every_steps)
    payload = PAYLOADS.module(params.payload).build(params, comm, workers or comm.world_size)
    return Rounds(comm, workers, params, schedule, payload, outer)


def _load(model: nn.Module, means: Tensors, agreement: Agreement) -> None:
    """Gives a model the weights and statistics that all have agreed on."""
    for place, parameter in enumerate(model.parameters()):
        if place in means:
            parameter.copy_(means[place])
    if agreement.moments is not None:
        load_moments(model, agreement.moments)
        load_counts(model, agreement.counts)


def _lrs(worker: Worker) -> dict[int, float]:
    """The learning rate of each parameter by its place; 0 where the optimizer does not have it."""
    lr = {id(p): float(group["lr"]) for group in worker.optimizer.param_groups for p in group["params"]}
    return {place: lr.get(id(parameter), 0.0) for place, parameter in enumerate(worker.model.parameters())}


def _squared_distance(one: Tensors, other: Tensors) -> float:
    return sum(float((value - other[place]).double().square().sum()) for place, value in one.items())
