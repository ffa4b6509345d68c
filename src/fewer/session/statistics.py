"""BatchNorm statistics of a model that is evaluated or published: re-estimated where those of training do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core import rng
from fewer.core.allocation import even_sizes
from fewer.core.evaluation import Evaluate
from fewer.core.types import Request
from fewer.models.batchnorm import reestimate

if TYPE_CHECKING:
    from torch import nn

    from fewer.session.build import Session


def model_for(session: Session, evaluate: Evaluate) -> tuple[nn.Module, int]:
    """A copy of the current model as an evaluation asks for it.

    Returns:
        The model in eval mode, and from how many images its BatchNorm has new statistics; 0 where it keeps training's.
    """
    run = session.run
    model = run.raw_model() if evaluate.weights == "raw" else run.evaluated_model()
    side_px = evaluation_side_px(session, evaluate)
    if evaluate.statistics == "running" or not _are_stale(session, side_px):
        return model, 0
    pool_ids, epoch = run.selection.pool_ids, run.cursor.epoch
    # Drawn by (seed, epoch), so that looking changes nothing.
    ids = pool_ids[rng.shuffled(pool_ids, run.seed, "bn", epoch)[: session.plan.reestimation.images]]
    sizes = even_sizes(len(ids), -(-len(ids) // min(session.plan.recipe.train.images_per_step, len(ids))))
    stage = session.plan.stage(epoch - 1)
    strength = stage.strength_at(epoch - 1)
    requests = (Request(part, epoch, side_px, strength) for part in ids.split(sizes))
    with run.ledger.phase("evaluate"):
        images = reestimate(model, session.train_data.batches(requests), session.task.output)
    run.ledger.book(stage.index, samples_evaluated=images)
    return model, images


def evaluation_side_px(session: Session, evaluate: Evaluate) -> int:
    """The side that an evaluation looks at: its own, or that of the stage that was trained last."""
    trained = max(0, session.run.cursor.epoch - 1)
    return evaluate.side_px or session.plan.stage(trained).evaluation_side_px


def _are_stale(session: Session, side_px: int) -> bool:
    """Whether running statistics describe other images than those of an evaluation.

    They do after an epoch at another side, after one on a part of the data that a method has chosen by scores, and
    where the weights are averages that a method of averaging asks new statistics for.
    """
    plan, run, epoch = session.plan, session.run, session.run.cursor.epoch
    if not plan.reestimation.images or not epoch:
        return False
    if plan.stage(epoch - 1).sides_px != (side_px,) or run.renews_statistics:
        return True
    trained_M = run.selection.table.column("trained", "epoch")[run.selection.shown(epoch - 1)] == epoch - 1
    return plan.reestimation.guards and not bool(trained_M.all())
