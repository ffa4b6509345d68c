"""Weights of one network put into another: what fits by name and shape, and what does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fewer.models.weight_names import further_blocks

_LEAST = 0.5  # of the network's and of the file's numbers that must fit
_OTHER_DEPTH = 0.05  # of either's numbers, in blocks that the other lacks: a network of another depth
_SHOWN = 3  # names listed of each kind


@dataclass(frozen=True, slots=True)
class Match:
    """What of some weights fits a network.

    Attributes:
        fitting: Tensors to be copied, by name.
        missing: Names of the network's that the weights lack.
        unexpected: Names that the network lacks.
        reshaped: Name, their shape and ours.
        head: Names of a last layer with another number of classes; it stays as it was drawn.
        share: Part of the network's numbers, without the head, that fits.
        used: Part of the weights' numbers, without the head, that fits.
        deeper: A block of the weights' that the network lacks, where such blocks are a good part of them; else "".
        shallower: Likewise, a block of the network's that the weights lack.
        prefix: What stood before the names in the file.
        in_order: Whether the names are others, and the tensors fit by their order and shapes.
        trunk: Of what part of the network these are weights, such as `backbone.`: the rest is missing, and no fault; ""
            for a whole network.
    """

    fitting: Mapping[str, Tensor]
    missing: Sequence[str]
    unexpected: Sequence[str]
    reshaped: Sequence[tuple[str, tuple[int, ...], tuple[int, ...]]]
    head: Sequence[str]
    share: float
    used: float
    deeper: str = ""
    shallower: str = ""
    prefix: str = ""
    in_order: bool = False
    trunk: str = ""

    @property
    def suffices(self) -> bool:
        """Whether the weights may be called weights of this network."""
        return self.share >= _LEAST and self.used >= _LEAST and not (self.deeper or self.shallower)

    @property
    def cause(self) -> str:
        """Why they do not suffice, as far as the names tell."""
        if self.deeper:
            return f"it has blocks that this network lacks, such as {self.deeper}, so it is of a deeper one"
        if self.shallower:
            return f"it lacks blocks of this network, such as {self.shallower}, so it is of a shallower one"
        return ""

    def describe(self) -> str:
        """How much fits, and the first names of what does not."""
        whole = f"{self.trunk.rstrip('.')}, the rest is drawn" if self.trunk else "network without its head"
        parts = [f"{len(self.fitting)} tensors fit ({self.share:.0%} of the {whole})"]
        if self.in_order:
            parts.append("by order and shape, since their names are others")
        if self.prefix:
            parts.append(f"of names that begin with {self.prefix!r}, which was taken off")
        if self.head:
            parts.append(f"the head ({', '.join(self.head[:_SHOWN])}) is of another size and starts at zero")
        shapes = [f"{name} {_sized(theirs)} for {_sized(ours)}" for name, theirs, ours in self.reshaped]
        for what, found in (("missing", self.missing), ("unexpected", self.unexpected), ("of another shape", shapes)):
            if found:
                parts.append(f"{len(found)} {what}: {', '.join(found[:_SHOWN])}{', ...' * (len(found) > _SHOWN)}")
        return "; ".join(parts)


def match(model: nn.Module, tensors: Mapping[str, Tensor], classes: int, prefix: str = "", trunk: str = "") -> Match:
    """Compares weights with a network, which may be on the meta device.

    Args:
        model: The network.
        tensors: Weights by name.
        classes: Number of the network's outputs.
        prefix: What was taken off before their names.
        trunk: What the names of a part of the network begin with whose weights do alone, such as `backbone.`.

    Raises:
        ValueError: A weight that fits is not finite.
    """
    state: Mapping[str, Tensor] = model.state_dict()
    if trunk and all(name.startswith(trunk) for name in tensors):
        state = {name: value for name, value in state.items() if name.startswith(trunk)}
    else:
        trunk = ""
    in_heads = {f"{name}.{part}" for name in heads(model, classes) for part in ("weight", "bias")}
    fitting: dict[str, Tensor] = {}
    reshaped, head = [], []
    for name, ours in state.items():
        theirs = tensors.get(name)
        if theirs is None:
            continue
        if theirs.shape == ours.shape:
            fitting[name] = theirs
        elif name in in_heads and theirs.shape[1:] == ours.shape[1:]:
            head.append(name)
        else:
            reshaped.append((name, tuple(theirs.shape), tuple(ours.shape)))
    for name, theirs in fitting.items():
        if theirs.is_floating_point() and not torch.isfinite(theirs).all():
            raise ValueError(f"{name} holds numbers that are not finite")
    # Files that were written before torch counted batches lack the counts, and nothing is lost.
    missing = [name for name in state if name not in tensors and not name.endswith("num_batches_tracked")]
    body = {name: value.numel() for name, value in state.items() if name not in in_heads}
    theirs_total = sum(value.numel() for name, value in tensors.items() if name not in in_heads)
    fits = sum(body[name] for name in fitting if name in body)
    unexpected = [name for name in tensors if name not in state]
    around = tuple(f"{name.partition('.')[0]}." for name in in_heads)  # layers of a head are no blocks
    return Match(
        fitting,
        missing,
        unexpected,
        reshaped,
        head,
        fits / max(1, sum(body.values())),
        fits / max(1, theirs_total),
        _block([name for name in unexpected if not name.startswith(around)], tensors, state),
        _block([name for name in missing if not name.startswith(around)], state, tensors),
        prefix,
        trunk=trunk,
    )


def in_order(model: nn.Module, tensors: Mapping[str, Tensor], classes: int) -> dict[str, Tensor] | None:
    """Weights whose layers are called otherwise, under the network's names: the same shapes in the same order.

    Args:
        model: The network; its head may be missing in the weights, or of another size.
        tensors: Weights by name, in the file's order.
        classes: Number of the network's outputs.

    Returns:
        None unless every shape agrees.
    """
    state = model.state_dict()
    in_heads = {f"{name}.{part}" for name in heads(model, classes) for part in ("weight", "bias")}
    counts = any(tensor.dim() == 0 for tensor in tensors.values())  # of BatchNorm's batches, which old files lack
    body = [name for name, ours in state.items() if name not in in_heads and (counts or ours.dim())]
    if not 0 <= len(tensors) - len(body) <= len(in_heads):
        return None
    found = dict(zip(body, tensors.values(), strict=False))
    return found if all(state[name].shape == theirs.shape for name, theirs in found.items()) else None


def _block(names: Sequence[str], tensors: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> str:
    """The first block that others lack, if such blocks hold a good part of all numbers; else ""."""
    found = further_blocks(names, others)
    numbers = sum(tensors[name].numel() for name in found)
    total = sum(tensor.numel() for tensor in tensors.values())
    return next(iter(found.values())) if numbers > _OTHER_DEPTH * total else ""


@torch.no_grad()
def load_matched(model: nn.Module, fitted: Match) -> None:
    """Copies what fits into the network, in the network's own number format."""
    state = model.state_dict()
    for name, tensor in fitted.fitting.items():
        state[name].copy_(tensor)


@torch.no_grad()
def clear_new_heads(model: nn.Module, fitted: Match, classes: int) -> None:
    """Sets heads to zero that the weights do not fill, so that all classes are equally probable at first.

    What is drawn for a head is noise beside features that have learnt something, and at the small rates of fine-tuning
    it stays (Kolesnikov et al. 2020, BiT). Heads of cosines keep their directions. So does every head where the weights
    are those of a trunk, as what comes before it is drawn, too; and that of a network that says itself what its head is
    (`head_layers`).

    Args:
        model: The network.
        fitted: What fits.
        classes: Number of the network's outputs.
    """
    if fitted.trunk or hasattr(model, "head_layers"):
        return
    for name in heads(model, classes):
        head = model.get_submodule(name)
        if f"{name}.weight" not in fitted.fitting and type(head) in (nn.Linear, nn.Conv2d):
            for parameter in head.parameters():
                parameter.zero_()


def heads(model: nn.Module, classes: int) -> list[str]:
    """Names of the last layer with one output a class, and of further such layers that are called head.

    A network may say itself what its head is, as `head_layers`.
    """
    own: Sequence[str] | None = getattr(model, "head_layers", None)
    if own is not None:
        return list(own)
    layers = [
        (name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, (nn.Linear, nn.Conv2d)) and layer.weight.shape[0] == classes
    ]
    return [name for name, _ in layers[:-1] if "head" in name] + [name for name, _ in layers[-1:]]


def _sized(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"
