"""Stochastic weight averaging (Izmailov et al. 2018): the plain mean of the weights over the tail of the run.

Every optimizer step of the tail counts the same, mean += (weights - mean) / steps, so the tail may be shorter than an
epoch. Before the tail the model itself is evaluated; from its first step on, the mean takes the model's place in
evaluations and in what is published. Running statistics of BatchNorm do not fit averaged weights: for an evaluation
they are estimated again, from `evaluate.batchnorm_images` training images at the side of the evaluation; where that is
0, they are averaged with the weights.

It costs one copy of the weights and one pass over them a step, in the tail alone. It helps where the learning rate
stays large in the tail (`schedule = "constant"`, or a `final` of 0.1 and more): the mean of weights that wander lies
lower than each of them. Where the rate falls to zero, they hardly move, and the mean lags behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, final

from fewer.core.clock import Duration
from fewer.core.config import Section, Span
from fewer.optim.average import Setting, floats
from fewer.optim.shapes import TINY, share_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.core.types import State

EVALUATED = True
RENEWS_STATISTICS = True
FOLLOWS_SYNCS = True
EXAMPLES = [{"swa": "1.5ep"}]


class Params(Section):
    swa: Span | Literal["off"] = "off"
    """Length of the tail of the run whose weights are averaged equally, a weight a step; not together with `ema`."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        if isinstance(self.swa, Duration) and not self.swa.value:
            return {"swa": 'averages nothing; give epochs, such as "2ep", or set train.swa = "off"'}
        return {}


@final
class Swa:
    """Mean of a model's weights over the tail of a run.

    Args:
        start: Progress at which the tail begins, in [0, 1].
    """

    def __init__(self, start: float) -> None:
        self.start, self.steps = start, 0
        self.mean: dict[str, Tensor] = {}

    @property
    def renews_statistics(self) -> bool:
        """Whether evaluations see averaged weights by now, which the model's running statistics do not fit."""
        return self.steps > 0

    def update(self, models: Sequence[nn.Module], samples: int, step: int, progress: float) -> None:
        """Takes the weights into the mean after a step; arguments as for `fewer.core.protocols.Average`."""
        import torch

        if progress < self.start - TINY:
            self.mean, self.steps = {}, 0  # a run that was made longer is no longer in its tail
            return
        current = floats(models[0])
        self.steps += 1
        if self.steps == 1:
            self.mean = {name: value.clone() for name, value in current.items()}
            return
        with torch.no_grad():
            torch._foreach_lerp_(list(self.mean.values()), [current[name] for name in self.mean], 1 / self.steps)

    def end_epoch(self, models: Sequence[nn.Module]) -> None:
        return

    def load_into(self, model: nn.Module) -> None:
        """Gives a model the averaged weights; before the tail it keeps its own."""
        model.load_state_dict(self.mean, strict=False)

    def state_dict(self) -> State:
        return {"mean": self.mean, "steps": self.steps}

    def load_state_dict(self, state: State, model: nn.Module) -> None:
        """Puts the mean back, in the memory layout of the model's own weights."""
        import torch

        layout = floats(model)
        self.mean = {name: torch.empty_like(layout[name]).copy_(value) for name, value in state["mean"].items()}
        self.steps = state["steps"]


def build(params: Params, model: nn.Module, setting: Setting) -> Swa:
    assert isinstance(params.swa, Duration)
    return Swa(1 - share_of(params.swa, setting.epochs))
