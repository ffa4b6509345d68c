"""The health of a run: whether it has learnt anything yet; if not, the likeliest cause and one fix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from fewer.core.abilities import Guesses
from fewer.select.method_params import ScoredParams

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.session.build import Session

_NEARLY = 0.99  # of the loss of guessing: what is below it is learning
_DEVIATIONS = 3  # of the accuracy of guessing, by which learning exceeds it
_STEPS = 100  # that a run gets before it is judged; hard data may take as many
_RISEN = 0.5  # of the learning rate: a warm-up must have come so far
_BARELY = 1e-4  # relative change of the weights' norms in an epoch: weights move by about 1 %


class Health:
    """Watches what an epoch does to the weights, and compares its loss and accuracy with those of guessing.

    A run learns nothing where both hold: its loss is at least 99 % of that of a model that knows how frequent the
    classes are and nothing else, and its accuracy is within three standard deviations of that of the commonest class.
    It is said after any epoch if no weight has a gradient or none has changed; else from 100 steps on, once the warm-up
    has come to half of the learning rate, or after the last epoch.

    Args:
        session: A run that stands before an epoch.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.norm_P = _norms(session.run.workers[0].model)

    def complaints(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Warnings to the user after an epoch, by kind.

        Args:
            rows: Those of all epochs so far.
        """
        before_P, self.norm_P = self.norm_P, _norms(self.session.run.workers[0].model)
        words = self._as_guessing(rows[-1])
        if not words:
            return {}
        change = _change(before_P, self.norm_P)
        is_dead = _has_no_gradient(self.session.run.workers[0].model)
        if not (is_dead or change == 0 or self._is_due(rows)):
            return {}
        return {"learning": f"{words}; {self._cause(is_dead, change, rows[-1]['step'])}"}

    def _as_guessing(self, row: Mapping[str, Any]) -> str:
        """Says that an epoch's loss and accuracy are those of guessing, or nothing."""
        task, run, train = self.session.task, self.session.run, self.session.splits.train
        trained_M = run.selection.table.column("trained", "epoch")[run.selection.pool_ids] == row["epoch"]
        kept, samples = int(trained_M.sum()), round(row["kept_share"] * run.ledger.train_images)
        is_part_by_scores = kept < len(trained_M) and isinstance(run.plan.recipe.select, ScoredParams)
        if not isinstance(task, Guesses) or not samples or kept != samples or is_part_by_scores:
            return ""  # hard samples alone, or copies: their loss and classes are not those of the data
        label_M = train.label_N[run.selection.pool_ids][trained_M]
        guess = task.guess(torch.bincount(label_M, minlength=len(train.classes)).tolist())
        metric = task.step_metrics[0]
        level, reached = guess[metric.name], row[metric.name]
        limit = level + _DEVIATIONS * math.sqrt(level * (1 - level) / samples)
        if row["loss"] < _NEARLY * guess["loss"] or reached > limit:
            return ""
        return (
            f"epoch {row['epoch'] + 1} has learnt nothing: loss {row['loss']:.3f} and {metric.label} "
            f"{metric.text(reached)}, where guessing gives {guess['loss']:.3f} and {metric.text(level)}"
        )

    def _is_due(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        plan = self.session.plan
        is_warm = max(row["lr"] for row in rows) >= _RISEN * plan.peak_lr
        is_last = bool(rows[-1]["epoch"] + 1 == plan.epochs)
        return is_last or (is_warm and bool(rows[-1]["step"] >= _STEPS))

    def _cause(self, is_dead: bool, change: float, steps: int) -> str:
        lr = self.session.plan.peak_lr
        if is_dead:
            return f"no weight has a gradient, as after a learning rate that was too high: set train.lr = {lr / 10:g}"
        if change < _BARELY:
            return f"the weights barely move: raise train.lr ({lr:g}), tenfold at first"
        if steps < _STEPS:
            few = "1 step is" if steps == 1 else f"{steps} steps are"
            return f"{few} few: raise {self._length()}, or lower train.batch_size"
        return f"the learning rate is probably too high: set train.lr = {lr / 10:g}"

    def _length(self) -> str:
        """The key that says how long the run is, and its value."""
        train = self.session.plan.recipe.train
        is_budgeted = train.budget != type(train).model_fields["budget"].default
        return f"train.budget ({train.budget})" if is_budgeted else f"train.epochs ({self.session.plan.epochs})"


def _norms(model: nn.Module) -> Tensor:
    """The norm of each trained parameter."""
    trained = [parameter.detach() for parameter in model.parameters() if parameter.requires_grad]
    return torch.stack([norm.double().cpu() for norm in torch._foreach_norm(trained)])


def _change(before_P: Tensor, after_P: Tensor) -> float:
    """The largest relative change of a norm; 1 where other parameters are trained than before."""
    if before_P.shape != after_P.shape:
        return 1.0
    return float(((after_P - before_P).abs() / before_P.clamp(min=1e-12)).max())


def _has_no_gradient(model: nn.Module) -> bool:
    """Whether the gradients of the last step are zero for all matrices and kernels; biases may still have one."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None and p.dim() > 1]
    return bool(gradients) and not any(bool(norm) for norm in torch._foreach_norm(gradients))
