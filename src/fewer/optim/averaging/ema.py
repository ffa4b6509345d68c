"""Exponential moving average of all floating-point weights and BatchNorm statistics, evaluated in the model's place.

Its half-life is stated in samples trained on, so that it means the same at any batch size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, final

from fewer.core.clock import Duration
from fewer.core.config import Section, Span
from fewer.optim.average import Setting, floats

if TYPE_CHECKING:
    from torch import Tensor, nn

EVALUATED = True
FOLLOWS_SYNCS = True
EXAMPLES = [{"ema": "0.5ep"}]


class Params(Section):
    ema: Span | Literal["off"] = "off"
    """Half-life of the exponential moving average of the weights, counted in samples trained on."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        if isinstance(self.ema, Duration) and not self.ema.value:
            return {"ema": 'averages nothing; set train.ema = "off"'}
        return {}


@final
class Ema:
    """Exponential moving average beside a model.

    Args:
        model: The model to follow; the average starts as its weights.
        half_life_samples: Samples after which an old weight counts half.
    """

    def __init__(self, model: nn.Module, half_life_samples: float) -> None:
        self.half_life_samples = half_life_samples
        self.average = {name: value.clone() for name, value in floats(model).items()}

    def update(self, models: Sequence[nn.Module], samples: int, step: int, progress: float) -> None:
        """Moves the average towards the model after a step; arguments as for `fewer.core.protocols.Average`."""
        import torch

        old = 0.5 ** (samples / self.half_life_samples)
        current = floats(models[0])
        with torch.no_grad():
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


def build(params: Params, model: nn.Module, setting: Setting) -> Ema:
    assert isinstance(params.ema, Duration)
    return Ema(model, params.ema.in_epochs(setting.epochs) * setting.images)
