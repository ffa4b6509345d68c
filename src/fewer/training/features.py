"""Features of all images of a stage: what a frozen body gives, computed once and trained on in their place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from fewer.core.allocation import even_sizes
from fewer.core.protocols import Data, Task
from fewer.core.ragged import dense
from fewer.core.types import Batch, Forward, Request, Stage
from fewer.models.cut import Cut, Features
from fewer.training.run import Run
from fewer.training.transition import forwards, mode


@dataclass(frozen=True)
class KeptFeatures:
    """Features of all images of a stage: data like the images themselves.

    Attributes:
        samples: All of them, ids ascending.
    """

    samples: Batch

    def batches(self, requests: Iterable[Request]) -> Iterator[Batch]:
        for request in requests:
            ids_B = request.ids_B.to(self.samples.ids_B.device)
            yield self.samples.take(torch.searchsorted(self.samples.ids_B, ids_B))


class FeatureCache:
    """What a run's epochs train on, and what they train: images and the whole model, or kept features and the rest.

    Features are not saved. A resumed run computes them again from the same batches, and books no FLOPs twice.
    """

    def __init__(self, task: Task, data: Data, run: Run) -> None:
        self._task, self._data, self._run = task, data, run
        self._kept: dict[int, KeptFeatures] = {}  # by stage, of the present one alone

    def enter(self, stage: Stage) -> tuple[Data, list[Forward]]:
        """The data of an epoch, and each local worker's training forward, once its batches are known."""
        cut = self._run.plan.facts.model.cut(stage)
        if not stage.keeps_features or cut is None:
            return self._data, forwards(self._run, stage)
        if stage.index not in self._kept:
            self._kept = {stage.index: self._computed(stage, cut)}
        return self._kept[stage.index], [cut.rest(worker.model) for worker in self._run.workers]

    def _computed(self, stage: Stage, cut: Cut) -> KeptFeatures:
        """One forward of every image, shared out among the processes; all of them get the features of all."""
        run, model, ids_M = self._run, self._run.workers[0].model, self._run.selection.pool_ids
        sizes = even_sizes(len(ids_M), -(-len(ids_M) // stage.batch_size))
        requests = [Request.training(stage, run.cursor.epoch, ids) for ids in ids_M.split(sizes)]
        mine = requests[run.comm.rank :: run.comm.world_size]
        at = run.plan.at(run.cursor.epoch)
        ids, targets = [ids_M[:0]], [torch.empty(0, dtype=torch.int64, device=run.device)]
        with run.ledger.phase("train"), mode(model, training=False), torch.no_grad(), Features(model, cut) as seen:
            for batch in self._data.batches(mine):
                self._task.outcome(model, batch, at)
                ids.append(batch.ids_B.cpu())
                targets.append(dense(batch.targets))
        features = torch.cat([torch.empty(0, *cut.features, device=run.device), *seen])
        self._book(stage, sum(map(len, ids)), len(ids_M))
        parts = torch.cat(ids).to(run.device), features, torch.cat(targets)
        ids_N, features_N, target_N = map(run.comm.gather, parts)
        whole = Batch(ids_N, features_N, target_N)
        return KeptFeatures(whole.take(torch.argsort(whole.ids_B)))

    def _book(self, stage: Stage, loaded: int, images: int) -> None:
        run = self._run
        run.ledger.book(stage.index, samples_loaded=loaded)
        if (run.cursor.epoch, run.cursor.batch) == (stage.first_epoch, 0):  # else an earlier process has booked it
            flops = images * run.plan.forward_flops(stage.first_epoch)
            run.ledger.book(stage.index, samples_forwarded=images, flops=flops)
