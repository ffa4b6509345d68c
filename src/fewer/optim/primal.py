"""Primal averaging: gradients are taken between the point that steps move and the average of these points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.core.types import State

Weigh = Callable[[float], float]  # progress to the weight of a step


@final
class PrimalAverage:
    """Three points: z, which the optimizer's steps move; x, the average of z; y, between them, which the model holds.

        y = (1 - b) z + b x;  z = z + step(y);  x = (1 - c) x + c z

    The optimizer steps from y as ever, and its step is carried over to z. What is evaluated is x. BatchNorm's running
    statistics stay those of y, and are estimated again for x.

    Args:
        model: The model, at the point from which all three begin.
        pull: b, the weight of x in y.
        keep: 1 - c, where it is constant; None: steps are weighed, c = weight / sum of the weights so far.
        weigh: The weight of a step by the progress before it; weights never fall.
    """

    renews_statistics = True

    def __init__(self, model: nn.Module, pull: float, keep: float | None = None, weigh: Weigh = lambda _: 1.0) -> None:
        self.pull, self.keep, self.weigh = pull, keep, weigh
        self.heaviest, self.sum = 0.0, 0.0
        self.x, self.z = _copied(model), _copied(model)

    def update(self, models: Sequence[nn.Module], samples: int, step: int, progress: float) -> None:
        """Moves all three points after a step; arguments as for `fewer.core.protocols.Average`."""
        import torch

        share = self._share(progress)
        stepped = {name: parameter for name, parameter in models[0].named_parameters() if parameter.requires_grad}
        if not stepped:
            return
        with torch.no_grad():  # what is frozen stays at all three points
            x, z = [self.x[name] for name in stepped], [self.z[name] for name in stepped]
            before = torch._foreach_lerp(z, x, self.pull)  # y, bit for bit as the model held it
            torch._foreach_add_(z, torch._foreach_sub(list(stepped.values()), before))
            torch._foreach_lerp_(x, z, share)
            y = dict(zip(stepped, torch._foreach_lerp(z, x, self.pull), strict=True))
            for model in models:
                parameters = dict(model.named_parameters())
                for name, value in y.items():
                    parameters[name].copy_(value)

    def _share(self, progress: float) -> float:
        """c of this step."""
        if self.keep is not None:
            return 1 - self.keep
        self.heaviest = max(self.heaviest, self.weigh(progress))
        self.sum += self.heaviest
        return self.heaviest / self.sum if self.sum else 1.0

    def end_epoch(self, models: Sequence[nn.Module]) -> None:
        return

    def load_into(self, model: nn.Module) -> None:
        """Gives a model the average; what is frozen stays as the rest was trained on it."""
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        model.load_state_dict({name: value for name, value in self.x.items() if name in trained}, strict=False)

    def state_dict(self) -> State:
        return {"x": self.x, "z": self.z, "heaviest": self.heaviest, "sum": self.sum}

    def load_state_dict(self, state: State, model: nn.Module) -> None:
        """Puts the points back, in the memory layout of the model's own weights."""
        for name in self.x:
            self.x[name].copy_(state["x"][name])
            self.z[name].copy_(state["z"][name])
        self.heaviest, self.sum = state["heaviest"], state["sum"]


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}
