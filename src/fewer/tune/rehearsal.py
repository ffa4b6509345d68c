"""The rehearsal of training by several processes: the ordinary loop in one of them, for some steps of each sync method.

Processes are rehearsed by `fewer.sync.rehearsal`, so that bytes are those that the ledger books, and exchanges those
that a method makes, whichever it is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from fewer.core.sections import section_of
from fewer.core.types import Stage
from fewer.data.listing.splits import Splits
from fewer.plan.checks import mismatches
from fewer.plan.plan import Plan
from fewer.recipe.schema import Recipe, SyncRecipe
from fewer.session.build import Session, make_plan, open_data, open_run, open_session
from fewer.session.data_costs import short_recipe
from fewer.session.selector import selector_of
from fewer.sync.network import Network
from fewer.sync.rehearsal import Rehearsal
from fewer.sync.step_time import Added
from fewer.training.loop import train
from fewer.training.run import Run

_LEAST_ROUNDS, _MOST_STEPS = 2, 40
_LR = 1e-5  # with which nothing diverges, as there is no warm-up


@dataclass(frozen=True)
class Steps:
    """What some steps with a sync method showed.

    Attributes:
        added: What the method added to each, by rounds.
        compute_seconds: What each computed beside that.
        keeps_equal: Whether all workers hold the same weights behind every step.
        shares_statistics: Whether BatchNorm normalises by the samples of all processes, which is computed otherwise.
    """

    added: Sequence[Sequence[Added]]
    compute_seconds: Sequence[float]
    keeps_equal: bool
    shares_statistics: bool


class Stand:
    """A session on a few images, in which one process stands for one of several.

    Args:
        recipe: What would run.
        plan: Its plan for so many processes.
        stage: Which of its stages, with the batch size that is rehearsed.
        rank: Which of the processes this is.
        threads: Threads of this process.
    """

    def __init__(self, recipe: Recipe, plan: Plan, stage: Stage, rank: int, threads: int) -> None:
        self._rank, self._processes = rank, plan.facts.machine.processes
        alone = recipe.model_copy(update={"sync": section_of(SyncRecipe)})
        short = short_recipe(alone, plan, stage, plan.loading)
        short = short.model_copy(update={"train": short.train.model_copy(update={"lr": _LR})})
        self.splits: Splits = open_data(short)
        compiled = make_plan(short, self.splits, self._processes)
        machine = replace(compiled.facts.machine, threads=threads)
        compiled = replace(compiled, facts=replace(compiled.facts, machine=machine))
        self.session: Session = open_session(
            short, self.splits, Rehearsal(Network(1e9, 0.0), self._processes, rank), plan=compiled
        )

    def close(self) -> None:
        self.session.close()

    def refused(self, sync: SyncRecipe) -> str:
        """Why a recipe cannot have this section; nothing where it can."""
        plan = self._plan(sync)
        return "; ".join(mismatches(plan.recipe, plan.facts, plan.stages))

    def steps(self, sync: SyncRecipe, round_steps: int, network: Network, seconds: float, pace: float = 1.0) -> Steps:
        """Trains for some rounds with a sync method, from first weights, behind one round that warms up.

        Args:
            sync: The recipe's section.
            round_steps: Steps of a round.
            network: What lies between the processes.
            seconds: For how long, at least two rounds.
            pace: How many times as many images a worker has as this stage's batches give it.

        Raises:
            DivergedError: The loss is not finite.
        """
        comm, plan, session = Rehearsal(network, self._processes, self._rank, pace), self._plan(sync), self.session
        chooses = selector_of(plan.recipe, self.splits)
        run = open_run(plan, self.splits, session.train_data, comm, chooses, time.monotonic())
        meter, added, computed = _Meter(run, comm), list[Added](), list[float]()
        least = round_steps * (1 + _LEAST_ROUNDS)
        began = meter.since
        for _ in train(session.task, session.train_data, run):
            mine, compute = meter.step()
            added.append(mine)
            computed.append(compute)
            is_enough = len(added) >= _MOST_STEPS or meter.since - began >= seconds
            if len(added) >= least and len(added) % round_steps == 0 and is_enough:
                break
        rounds = [added[first : first + round_steps] for first in range(round_steps, len(added), round_steps)]
        return Steps(rounds, computed[round_steps:], run.sync.keeps_equal, run.statistics is not None)

    def _plan(self, sync: SyncRecipe) -> Plan:
        """The plan of the same run with another way to agree."""
        plan = self.session.plan
        return replace(plan, recipe=plan.recipe.model_copy(update={"sync": sync}))


class _Meter:
    """What has changed since the last step: of the clock, of the ledger, and of what was exchanged."""

    def __init__(self, run: Run, comm: Rehearsal) -> None:
        self._run, self._comm, self.since = run, comm, 0.0
        self._in_sync, self._sent = 0.0, 0
        self.step()

    def step(self) -> tuple[Added, float]:
        """What sync has added since the last call, and seconds of all else."""
        if torch.cuda.is_available():  # untested: needs a GPU
            torch.cuda.synchronize()
        ledger, found = self._run.ledger, self._comm.take()
        ledger.enter(ledger.stage)  # brings its seconds up to date
        before, in_sync, sent = self.since, self._in_sync, self._sent
        self.since = time.perf_counter()
        self._in_sync, self._sent = ledger.seconds[0]["sync"], ledger.counts[0]["bytes_sent"]
        spent = self._in_sync - in_sync
        own = max(0.0, spent - found.standing_in)
        added = Added(own, found.seconds, found.waited, self._sent - sent, found.exchanges)
        return added, self.since - before - spent
