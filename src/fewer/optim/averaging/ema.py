"""Averages of weights: an exponential moving average beside the model, and slow weights that pull it (Lookahead)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


def floats(model: nn.Module) -> dict[str, Tensor]:
    """A model's floating-point parameters and buffers by name."""
    return {name: value for name, value in model.state_dict().items() if value.is_floating_point()}


@final
class Ema:
    """Exponential moving average of all floating-point weights and BatchNorm statistics.

    Its half-life is stated in samples trained on, so that it means the same at any batch size.

    Args:
        model: The model to follow; the average starts as its weights.
        half_life_samples: Samples after which an old weight counts half.
    """

    def __init__(self, model: nn.Module, half_life_samples: float) -> None:
        self.half_life_samples = half_life_samples
        self.average = {name: value.clone() for name, value in floats(model).items()}

    @torch.no_grad()
    def update(self, models: Sequence[nn.Module], samples: int, step: int, progress: float) -> None:
        """Moves the average towards the model after a step; arguments as for `fewer.core.protocols.Average`."""
        old = 0.5 ** (samples / self.half_life_samples)
        current = floats(models[0])
        torch._foreach_lerp_(list(self.average.values()), [current[name] for name in self.average], 1 - old)

    def end_epoch(self, models: Sequence[nn.Module]) -> None:
        return

    def load_into(self, model: nn.Module) -> None:
        """Gives a model the averaged weights."""
        model.load_state_dict(self.average, strict=False)

    def state_dict(self) -> dict[str, Tensor]:
        return self.average

    def load_state_dict(self, state: dict[str, Tensor], model: nn.Module) -> None:
        for name, value in self.average.items():
            value.copy_(state[name])


@final
class Lookahead:
    """Slow weights towards which the fast ones are pulled back (Zhang et al. 2019), with airbench94's rising decay.

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

    @torch.no_grad()
    def _pull(self, models: Sequence[nn.Module], rho: float) -> None:
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
        layout = floats(model)
        self.slow = {name: torch.empty_like(layout[name]).copy_(value) for name, value in state.items()}
