"""Schedule-Free (Defazio et al. 2024, "The road less scheduled"): an average of the iterates in place of a schedule.

The optimizer moves z, gradients are taken at y = (1 - b) z + b x, and x, the average of all z, is evaluated and
published. Steps count by the square of the learning rate, so that those of the warm-up count less. Any optimizer's
steps will do, but without momentum, whose place y takes: `momentum = 0` and `nesterov = false` with `sgd`, a first beta
of 0 with `adamw`. The rate stays what it is (`schedule = "constant"`, with its warm-up), and is larger than with a
schedule.

It costs two copies of the weights and a pass over them a step. Running statistics of BatchNorm belong to y: for an
evaluation they are estimated again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from fewer.core.config import Section
from fewer.optim.average import Setting

if TYPE_CHECKING:
    from torch import nn

    from fewer.optim.primal import PrimalAverage

EVALUATED = RENEWS_STATISTICS = MOVES = True
EXAMPLES: list[dict[str, Any]] = [
    {"schedule_free": 0.9, "schedule": "constant", "optimizer": "adamw", "betas": [0.0, 0.99], "lr": 0.004}
]


class Params(Section):
    schedule_free: Annotated[float, Field(ge=0, lt=1, strict=True)] | Literal["off"] = "off"
    """Weight of the average in the point that gradients are taken at; 0.9 is usual."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        if self.schedule_free == "off":
            return {}
        if getattr(self, "schedule", "constant") != "constant":
            return {"schedule_free": 'takes the place of a schedule; set train.schedule = "constant"'}
        if getattr(self, "momentum", 0):
            return {"schedule_free": "takes the place of momentum; set train.momentum = 0.0"}
        if getattr(self, "betas", (0,))[0]:
            return {"schedule_free": f"takes the place of the first beta; set train.betas = [0.0, {self.betas[1]:g}]"}  # type: ignore[attr-defined]
        return {}


def build(params: Params, model: nn.Module, setting: Setting) -> PrimalAverage:
    from fewer.optim.primal import PrimalAverage

    assert isinstance(params.schedule_free, float)
    return PrimalAverage(model, params.schedule_free, weigh=lambda progress: setting.lr_share(progress) ** 2)
