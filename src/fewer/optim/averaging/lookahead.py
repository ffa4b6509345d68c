"""Slow weights towards which the fast ones are pulled back (Zhang et al. 2019), with airbench94's rising decay.

Every `every_steps` steps slow += (1 - rho) (fast - slow) and fast = slow, with
rho = decay^every_steps * progress^power; at the end of each epoch fast = slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from fewer.core.clock import Duration
from fewer.core.config import Count, NonNegative, Section, Share, Span
from fewer.optim.average import Setting, floats
from fewer.optim.shapes import share_of

if TYPE_CHECKING:
    from torch import Tensor, nn

MOVES = True
EXAMPLES = [{"lookahead": {"every_steps": 2, "start": "1ep"}}]


class LookaheadParams(Section):
    """`[train.lookahead]`: slow weights that pull the fast ones (Zhang et al. 2019), as airbench94 uses them.

    Every `every_steps` steps slow += (1 - rho) (fast - slow) and fast = slow, with
    rho = decay^every_steps * progress^power; at the end of each epoch fast = slow.
    """

    every_steps: Count = 5
    """Steps between two pulls."""
    decay: Share = 0.95
    """Base of rho."""
    power: NonNegative = 3.0
    """Exponent of progress in rho."""
    start: Span = Duration(3, "ep")
    """When slow weights begin."""


class Params(Section):
    lookahead: LookaheadParams | None = None


@final
class Lookahead:
    """Slow weights of a model.

    Args:
        every_steps: Steps between two pulls.
        decay: Base of the decay.
        power: Exponent of progress in the decay; rho = decay^every_steps * progress^power.
        start: Progress from which slow weights are kept.
    """

    def __init__(self, every_steps: int, decay: float, power: float, start: float) -> None:
        self.every_steps, self.decay, self.power, self.start = every_steps, decay, power, start
        self.slow: dict[str, Tensor] = {}

    def update(self, models: Sequence[nn.Module], samples: int, step: int, progress: float) -> None:
        """Pulls the models where it is time to; arguments as for `fewer.core.protocols.Average`."""
        if progress < self.start:  # also of a run that has been made longer, whose slow weights would be old
            self.slow = {}
        if progress < self.start or step % self.every_steps:
            return
        if not self.slow:
            self.slow = {name: value.clone() for name, value in floats(models[0]).items()}
        else:
            self._pull(models, self.decay**self.every_steps * progress**self.power)

    def end_epoch(self, models: Sequence[nn.Module]) -> None:
        """The models take the slow weights."""
        if self.slow:
            self._pull(models, 1.0)

    def load_into(self, model: nn.Module) -> None:
        return  # the model itself is what the slow weights pull

    def _pull(self, models: Sequence[nn.Module], rho: float) -> None:
        import torch

        with torch.no_grad():
            fast = floats(models[0])
            for name, slow in self.slow.items():
                slow.lerp_(fast[name], 1 - rho)
            for model in models:
                for name, value in floats(model).items():
                    value.copy_(self.slow[name])

    def state_dict(self) -> dict[str, Tensor]:
        return self.slow

    def load_state_dict(self, state: dict[str, Tensor], model: nn.Module) -> None:
        """Puts slow weights back, in the memory layout of the model's own."""
        import torch

        layout = floats(model)
        self.slow = {name: torch.empty_like(layout[name]).copy_(value) for name, value in state.items()}


def build(params: Params, model: nn.Module, setting: Setting) -> Lookahead:
    asked = params.lookahead
    assert asked is not None
    return Lookahead(asked.every_steps, asked.decay, asked.power, share_of(asked.start, setting.epochs))
