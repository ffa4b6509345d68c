"""Local steps in a training loop of one's own: any model, any optimizer, with torch.distributed or alone."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, final

import torch

from fewer.core.errors import UsageError
from fewer.core.sections import parse_section
from fewer.core.types import State, SyncPoint, Worker
from fewer.sync.comm import current_comm
from fewer.sync.methods import SYNC_METHODS
from fewer.sync.rounds import Rounds

if TYPE_CHECKING:
    from torch import nn


@final
class LocalSGD:
    """A local method beside an optimizer: this process steps alone, and all agree once a round.

        sync = LocalSGD(model, optimizer, every_steps=16)  # all begin with the weights of process 0
        for inputs, targets in loader:  # this process's own part of the data
            ...
            optimizer.step()
            sync.step(samples=len(inputs))
        sync.finish()  # behind the last step; all hold the same weights

    Do not wrap the model into DistributedDataParallel, which would exchange gradients at every step. With a GradScaler,
    call `step` behind every `scaler.step`, also where that has skipped. Without torch.distributed there is one worker.

    Args:
        model: The model, the same on every process but for its numbers.
        optimizer: Of its parameters.
        method: "local_sgd", "slowmo" or "diloco".
        keys: Those of the method as in a recipe's `[sync]`: `every_steps`, `schedule`, `payload`, and others.

    Raises:
        UsageError: There is no such method, or a key does not fit it.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, method: str = "local_sgd", **keys: Any
    ) -> None:
        comm = current_comm()
        comm.broadcast([tensor.detach() for tensor in (*model.parameters(), *model.buffers())])
        self._comm, self._rounds = comm, _rounds(method, keys, comm)
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        self._workers = [Worker(comm.rank, model, optimizer, scaler)]
        self._steps = 0
        # Before a step, whoever makes the optimizer take it: then it is known what all workers begin a round with.
        optimizer.register_step_pre_hook(lambda *_: self._rounds.sync_gradients(self._workers))

    @property
    def steps_left(self) -> int:
        """Steps until the next sync."""
        return self._rounds.steps_left

    def step(self, samples: int = 1, loss: float = 0.0, progress: float = 0.0, epochs: int = 1) -> bool:
        """Counts a step, and syncs where a round is over; to be called by every process behind each of its steps.

        Args:
            samples: Samples of the step on this process, by which it is weighted; the same for all, if left out.
            loss: Their mean loss over all processes, for `schedule = "adacomm"`.
            progress: Share of the run that lies behind the step, likewise.
            epochs: All epochs of the run, likewise.

        Returns:
            Whether all processes hold the same weights now.
        """
        self._steps += 1
        # A rank that a GradScaler lets take no step has noted nothing yet, and stands where the round began.
        self._rounds.sync_gradients(self._workers)
        lr = float(self._workers[0].optimizer.param_groups[0]["lr"])
        # A schedule weighs the losses of steps, which are the same everywhere; samples are this process's own.
        alike = self._comm.world_size
        point = SyncPoint(self._steps, progress, epochs, progress * epochs, lr, loss, alike, [samples], [False])
        return self._rounds.sync_parameters(self._workers, point) > 0

    def finish(self) -> None:
        """Ends a round that has begun; to be called by every process behind the last step."""
        self._rounds.finish(self._workers)

    def consensus(self) -> nn.Module:
        """A copy of the model with the mean of all processes' weights, to evaluate or to save; every process calls it.

        It changes nothing in the run.
        """
        model = self._rounds.consensus(self._workers)
        return copy.deepcopy(model) if model is self._workers[0].model else model

    def report(self) -> dict[str, float]:
        """Numbers of the last sync, once: `sync_steps`, and `sync_distance`, how far from their mean the workers were,
        relative to its length."""
        return dict(self._rounds.take_report())

    def bytes_sent(self) -> int:
        """What this process has sent since the last call."""
        return self._comm.take_bytes_sent()

    def state_dict(self) -> State:
        """What goes on inside a round, of all processes; every process must call it.

        Each process saves its own model and optimizer beside it.
        """
        return {"steps": self._steps, "rounds": self._rounds.state_dict()}

    def load_state_dict(self, state: State) -> None:
        self._steps = state["steps"]
        self._rounds.load_state_dict(state["rounds"])


def _rounds(method: str, keys: dict[str, Any], comm: Any) -> Rounds:
    """The engine of a method."""
    try:
        module = SYNC_METHODS.module(method)
    except KeyError as error:
        raise UsageError(f"LocalSGD: {error.args[0]}") from None
    parsed = parse_section(module.Params, keys, "sync", lambda path: "LocalSGD")
    if parsed.problems:
        raise UsageError("\n".join(parsed.problems))
    rounds = module.build(parsed.section, comm, None)
    if not isinstance(rounds, Rounds):
        raise UsageError(
            f'LocalSGD: method = "{method}" exchanges gradients, and this is called behind optimizer steps; use '
            'DistributedDataParallel for that, or "local_sgd", "slowmo" or "diloco" here'
        )
    return rounds
