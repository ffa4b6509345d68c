"""Optimizers, schedules and averages of the weights, one file each; and what works beside them: groups of parameters.

`TrainParams` holds the keys of `[train]` that say which; the functions here build what a section names. `LARS`, `LARC`,
`LAMB` and `Muon` are classes for loops of anyone's own; each is imported at its first use, as it needs torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from fewer.core.config import Section
from fewer.core.registry import Registry
from fewer.optim.averaging import AVERAGES
from fewer.optim.methods import OPTIMIZERS
from fewer.optim.schedules import SCHEDULES

if TYPE_CHECKING:
    import torch

    from fewer.core.protocols import Average
    from fewer.optim.average import Setting
    from fewer.optim.rules.lamb import LAMB as LAMB
    from fewer.optim.rules.larc import LARC as LARC
    from fewer.optim.rules.lars import LARS as LARS
    from fewer.optim.rules.muon import Muon as Muon
    from fewer.optim.shapes import Shape

_CLASSES = {"LAMB": "lamb", "LARC": "larc", "LARS": "lars", "Muon": "muon"}
_USUAL_BATCH = 256  # images in a step that usual learning rates are stated for


class TrainParams(Section):
    """The keys of `[train]` that name optimizer and schedule; averages have keys of their own names."""

    named_parts: ClassVar[Mapping[str, Registry]] = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES}
    keyed_parts: ClassVar[Registry | None] = AVERAGES

    optimizer: str = "sgd"
    """Which rule turns gradients into steps; brings keys of its own. `"torch:NAME"` and `"timm:NAME"` are any other of
    these libraries, with `optimizer_args`."""
    schedule: str = "linear"
    """How the learning rate changes during the run; brings keys of its own."""

    def conflicts(self, epochs: int) -> dict[str, str]:
        """Two averages that are evaluated, or that move the model: only one can."""
        found: dict[str, str] = {}
        for flag, what in (("EVALUATED", "be evaluated"), ("MOVES", "move the model")):
            first, *others = _with_flag(self, flag) or [""]
            reason = f'beside train.{first}: only one average can {what}; set one of the two to "off"'
            found |= dict.fromkeys(others, reason)
        return found


def build_optimizer(train: TrainParams, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimizer that a section names.

    Args:
        train: The section.
        groups: Groups of parameters, as `groups.parameter_groups` gives them.
    """
    optimizer: torch.optim.Optimizer = OPTIMIZERS.module(train.optimizer).build(train, groups)
    return optimizer


def step_flops(train: TrainParams, model: torch.nn.Module, ends: Collection[str]) -> int:
    """FLOPs of the matrix products of one optimizer step, for the parameters of a model that are trained.

    Args:
        train: The section that names the optimizer.
        model: The model, on any device.
        ends: Names of its first layer and of its head.
    """
    from fewer.optim.groups import parameter_groups

    count = getattr(OPTIMIZERS.module(train.optimizer), "step_flops", None)
    flops: int = count(train, parameter_groups(model, 1.0, {}, {}, ends=ends)) if count else 0
    return flops


def usual_lr(train: TrainParams, first_weights: str, batch_size: int) -> tuple[float, float] | None:
    """The lowest and the highest usual learning rate; None where the optimizer's file does not say.

    Args:
        train: The section that names the optimizer.
        first_weights: "random" or "given".
        batch_size: Images in a step. Beyond 256, usual rates grow with it (Goyal et al. 2017).
    """
    stated = usual_lr_of(train, first_weights)
    return stated and (stated[0], stated[1] * max(1.0, batch_size / _USUAL_BATCH))


def usual_lr_of(train: TrainParams, first_weights: str) -> tuple[float, float] | None:
    """Likewise, for batches of up to 256 images."""
    module = OPTIMIZERS.module(train.optimizer)
    stated = module.usual_lr(train) if hasattr(module, "usual_lr") else getattr(module, "USUAL_LR", None)
    return stated and stated[first_weights]


def lr_shape(train: TrainParams, epochs: int) -> Shape:
    """The learning rate as a share of its peak, a function of progress."""
    shape: Shape = SCHEDULES.module(train.schedule).build(train, epochs)
    return shape


def momentum_shape(train: TrainParams, epochs: int) -> Shape | None:
    """Momentum, or the first beta, as a function of progress; None where it is constant."""
    build = getattr(SCHEDULES.module(train.schedule), "momentum", None)
    shape: Shape | None = build(train, epochs) if build else None
    return shape


def averages_of(train: TrainParams) -> list[str]:
    """Names of the averages that a section asks for."""
    fields = type(train).model_fields
    return [name for name in AVERAGES.names() if name in fields and getattr(train, name) != fields[name].default]


def evaluates_average(train: TrainParams) -> bool:
    """Whether an average takes the model's place in evaluations and in what is published."""
    return bool(_with_flag(train, "EVALUATED"))


def renews_statistics(train: TrainParams) -> bool:
    """Whether BatchNorm's statistics are to be estimated again for the averaged weights that are evaluated."""
    return bool(_with_flag(train, "RENEWS_STATISTICS"))


def _with_flag(train: TrainParams, flag: str) -> list[str]:
    """The averages that a section asks for whose files set a flag."""
    return [name for name in averages_of(train) if getattr(AVERAGES.module(name), flag, False)]


def build_averages(train: TrainParams, model: torch.nn.Module, setting: Setting) -> dict[str, Average]:
    """The averages that a section asks for, by name."""
    return {name: AVERAGES.module(name).build(train, model, setting) for name in averages_of(train)}


def __getattr__(name: str) -> Any:
    if name not in _CLASSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"fewer.optim.rules.{_CLASSES[name]}"), name)
