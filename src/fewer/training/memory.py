"""Recovery from a step that does not fit into a device's memory: it, and all that follow, in more micro-batches.

The batch of the step, its losses and what they are divided by stay; BatchNorm sees one micro-batch at a time, as with
`train.accumulate`. Numbers become those of a run that was given the larger one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from fewer.core.errors import ResourceError
from fewer.training.batches import Candidate
from fewer.training.run import ACCUMULATE, Run

Result = TypeVar("Result")


def within_memory(run: Run, step: Candidate, backward: Callable[[], Result]) -> tuple[Result, bool]:
    """Forward and backward of a step, in as many micro-batches as they need.

    Args:
        run: Gets an amendment where more are needed.
        step: The global batch.
        backward: Does it, in `run.micro_batches` parts; may be called again.

    Returns:
        What it returned, and whether more were needed.

    Raises:
        ResourceError: Not even two images at a time fit, or processes share batch statistics.
    """
    buffers = [buffer for worker in run.workers for buffer in worker.model.buffers()]
    before, grown = [buffer.clone() for buffer in buffers], False
    while True:
        try:
            return backward(), grown
        except torch.OutOfMemoryError as error:
            reason = str(error).partition("\n")[0]
        # Out of the except block: until then the error's traceback holds what the step had allocated.
        for worker in run.workers:
            worker.optimizer.zero_grad(set_to_none=True)
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if run.sync.is_exchanging:
            raise ResourceError(
                f"a step of {len(step.samples)} images of {step.side_px} px does not fit into memory ({reason}), "
                f"and some of its gradients have left; fix: train.accumulate = {2 * run.micro_batches}, or "
                "sync.bucket_mb = 0, with which steps are done again in smaller parts"
            )
        if run.statistics:  # the other processes wait in the middle of the same forward
            raise ResourceError(
                f"a step of {len(step.samples)} images of {step.side_px} px does not fit into memory ({reason}); "
                f"fix: train.accumulate = {2 * run.micro_batches}, or sync.batchnorm = "
                '"local", with which steps are done again in smaller parts'
            )
        _double(run, step, reason)
        grown = True


def agree(run: Run, step: Candidate) -> None:
    """Gives all processes as many micro-batches as the one that needs most; all call it after the same step."""
    mine = torch.tensor([run.micro_batches], device=run.device)
    _amend(run, step, int(run.comm.gather(mine).max()))


def _double(run: Run, step: Candidate, reason: str) -> None:
    most = min(len(batch) for batch in step.loaded if len(batch)) // 2
    parts = min(2 * run.micro_batches, most)
    if parts <= run.micro_batches:
        raise ResourceError(
            f"a step of {len(step.samples)} images of {step.side_px} px does not fit into memory, not even in "
            f"{run.micro_batches} parts ({reason}); fix: a smaller side or model, or close other programs"
        )
    _amend(run, step, parts)


def _amend(run: Run, step: Candidate, parts: int) -> None:
    old, at = run.plan.recipe.train.accumulate, step.stage
    if parts > run.micro_batches:
        run.amendments[ACCUMULATE] = {
            "old": str(old),
            "new": str(parts),
            "reason": f"batches of {at.batch_size} images of {step.side_px} px do not fit into memory in fewer parts",
        }
