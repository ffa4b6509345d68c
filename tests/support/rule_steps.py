"""A small net with every kind of tensor, some of them zero, and steps on it with an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

RATES = (0.3, 0.3, 0.1, 0.2, 0.05)  # of steps, one after the other


def net(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """Filters, norm, biases and matrices; the last matrix is zero, and one filter gets no gradient."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.Flatten(),
            nn.Linear(24, 7), nn.Tanh(), nn.Linear(7, 4),
        )  # fmt: skip
    nn.init.zeros_(model[7].weight)
    return model.to(dtype)


def backward(model: nn.Module) -> None:
    """The gradients of a loss on six images, in place of those from before."""
    noise = torch.Generator().manual_seed(1)
    weight = next(model.parameters())
    images = torch.randn(6, 3, 6, 6, generator=noise).to(weight)
    model.zero_grad()
    nn.functional.cross_entropy(model(images), torch.arange(6, device=weight.device) % 4).backward()


def stepped(
    build: Callable[[nn.Module], torch.optim.Optimizer],
    rates: Sequence[float] = RATES,
    dtype: torch.dtype = torch.float64,
) -> dict[str, Tensor]:
    """The net's parameters after a step at each rate; every group's rate is its own at first, times the rate."""
    model = net(dtype)
    optimizer = build(model)
    peaks = [group["lr"] for group in optimizer.param_groups]
    for rate in rates:
        backward(model)
        before = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * rate
        optimizer.step()
        after = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(torch.equal(*pair) for pair in zip(before, after, strict=True)), "a step changed p.grad"
    return {name: value.detach() for name, value in model.named_parameters()}


Move = Callable[[Tensor, Tensor, dict[str, Tensor], float, bool], Tensor]


def by_hand(move: Move, rates: Sequence[float] = RATES) -> dict[str, Tensor]:
    """The same by a rule for one tensor: of weights, gradient, the tensor's state, rate, and whether it is a matrix."""
    model = net()
    state: dict[str, dict[str, Tensor]] = {name: {} for name, _ in model.named_parameters()}
    for rate in rates:
        backward(model)
        with torch.no_grad():
            for name, p in model.named_parameters():
                assert p.grad is not None
                p.copy_(move(p.clone(), p.grad, state[name], rate, p.dim() > 1))
    return {name: value.detach() for name, value in model.named_parameters()}


def furthest(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """The largest difference between two sets of parameters."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def split(model: nn.Module, decay: float) -> list[dict[str, object]]:
    """Groups as timm's optimizers take them: what is decayed and adapted, and what is not."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
