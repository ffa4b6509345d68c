"""Freezing: a net's layers in the order in which they run, and which of them are trained in an epoch.

What is frozen is a prefix of that order. Then no gradient is computed for it, as nothing before it learns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fewer.core.abilities import ChangesByEpoch
from fewer.core.messages import nearest
from fewer.core.spelling import closest
from fewer.models.frozen_key import ALL_BUT_HEAD, BEFORE_LAST_NORM, percent
from fewer.models.matching import heads
from fewer.optim.groups import NORMS

if TYPE_CHECKING:
    from torch import Tensor


def layers_in_order(model: nn.Module, classes: int, forward: Callable[[], Any]) -> tuple[tuple[str, ...], int]:
    """Names of a net's layers, the modules with parameters or running statistics of their own, as they first run.

    A layer that is never called by itself, such as attention's projections, runs with the module that it is a part of.

    Args:
        model: The net.
        classes: Number of classes, by which its head is known.
        forward: Runs the net once, with anything.

    Returns:
        The names, those of the head last, and how many the head has.
    """
    started: dict[nn.Module, int] = {}

    def starts(module: nn.Module, _: object) -> None:
        started.setdefault(module, len(started))

    handles = [module.register_forward_pre_hook(starts) for module in model.modules()]
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()
    modules, head = dict(model.named_modules()), set(heads(model, classes))
    layers = [name for name, module in modules.items() if _is_layer(module)]

    def place(name: str) -> tuple[bool, int]:
        outer = name
        while outer and modules[outer] not in started:
            outer = outer.rpartition(".")[0]
        return name in head, started.get(modules[outer], 0)

    return tuple(sorted(layers, key=place)), len(head & set(layers))


def _is_layer(module: nn.Module) -> bool:
    has_own = any(True for _ in module.parameters(recurse=False))
    return has_own or (isinstance(module, _BatchNorm) and module.track_running_stats)


def norms_of(model: nn.Module) -> frozenset[str]:
    """Names of a net's normalisation layers."""
    return frozenset(name for name, module in model.named_modules() if isinstance(module, NORMS))


def frozen_layers(asked: Sequence[str], layers: Sequence[str], head: int, norms: Collection[str] = ()) -> int:
    """How many layers a stage's `frozen` freezes: in the order in which they run, up to the last that is named.

    Args:
        asked: Names of modules; or a share of the layers before the head, such as "50%"; or "all but the head"; or
            "all before the last norm", which leaves the head and the normalisation before it (Touvron et al. 2019).
        layers: All layers in the order in which they run, the head last.
        head: How many of them are the head.
        norms: Which of them normalise.

    Raises:
        ValueError: A name matches nothing, there is no norm, or the head would be frozen; the message goes on behind
            the key.
    """
    body = len(layers) - head
    if tuple(asked) == (ALL_BUT_HEAD,):
        return body
    if tuple(asked) == (BEFORE_LAST_NORM,):
        places = [place for place, layer in enumerate(layers[:body]) if layer in norms]
        if not places:
            raise ValueError(f'no layer before the head is a norm; say "{ALL_BUT_HEAD}"')
        return places[-1]
    if len(asked) == 1 and (share := percent(asked[0])) is not None:
        return round(share / 100 * body)
    last = 0
    for name in asked:
        places = [place for place, layer in enumerate(layers, 1) if layer == name or layer.startswith(f"{name}.")]
        if not places:
            raise ValueError(f'no layer of this model is called "{name}"; {_suggestion(name, layers)}')
        last = max(last, *places)
    if last > body:
        fix = f'name a layer before it, or "{ALL_BUT_HEAD}"'
        raise ValueError(f'the last layer, "{layers[-1]}", must be trained; {fix}')
    return last


def _suggestion(name: str, layers: Sequence[str]) -> str:
    """The nearest of the modules that hold layers; the outermost where none is near."""
    paths = [layer.split(".") for layer in layers]
    known = {".".join(path[:depth]) for path in paths for depth in range(1, len(path) + 1)}
    return nearest(name, sorted(known if closest(name, sorted(known)) else {path[0] for path in paths}))


def set_trained(model: nn.Module, may_be: Iterable[Tensor], epoch: int, frozen: Collection[str] = ()) -> None:
    """Sets which parameters have gradients in an epoch; idempotent, and the only place that does.

    Args:
        model: The net.
        may_be: The parameters that may be trained at all, such as those that the optimizer holds.
        epoch: The epoch, for nets that freeze some of their own accord.
        frozen: Layers that the stage freezes.
    """
    for parameter in may_be:
        parameter.requires_grad_(True)
    own = model.frozen_in(epoch) if isinstance(model, ChangesByEpoch) else ()
    layers = set(frozen)
    for name, parameter in model.named_parameters():
        if name in own or name.rpartition(".")[0] in layers:
            parameter.requires_grad_(False)
