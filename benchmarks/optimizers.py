"""Time of an optimizer step on ResNet-50's parameters: LARS, LAMB and Muon beside timm's of the same settings.

    python benchmarks/optimizers.py [--rounds 11]

The two take turns in one process, on equal weights and gradients; a round's ratio is ours over timm's, and its median
is what counts. Muon computes in bfloat16 on both sides, as timm's knows no other. One line an optimizer in
results/optimizers.jsonl.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from common import Results, parsed, parser, summary
from torch import nn

from fewer.optim import LAMB, LARS, Muon

Build = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--rounds", type=int, default=11)
    command.add_argument("--model", default="resnet50", help="a net of torchvision")
    command.add_argument("--only", nargs="+", default=list(pairs()), choices=list(pairs()))
    args = parsed(command, "--rounds=2", "--model=squeezenet1_1", "--only", "lars", "lamb")
    results = Results("optimizers", args.smoke)
    for name in args.only:
        found = measured(*pairs()[name], args.model, args.rounds)
        ratio = statistics.median(found["ratios"])
        ours, timms = (1000 * found[side]["median"] for side in ("ours", "timm"))
        print(f"{name:5} {ours:7.1f} ms, timm {timms:7.1f} ms: {ratio:.2f}")
        results.keep(optimizer=name, model=args.model, ratio=ratio, **found)


def pairs() -> dict[str, tuple[Build, Build]]:
    """Ours and timm's, by name."""
    from timm.optim import Lamb, Lars
    from timm.optim.muon import Muon as TimmMuon

    def timm_muon(params: list[nn.Parameter]) -> torch.optim.Optimizer:
        return TimmMuon(matrices(params), lr=1e-5, weight_decay=0.01, nesterov=True, ns_coefficients="original")

    return {
        "lars": (
            lambda params: LARS(params, 0.01, momentum=0.9, weight_decay=1e-4),
            lambda params: Lars(split(params, 1e-4), 0.01, momentum=0.9),
        ),
        "lamb": (
            lambda params: LAMB(params, 1e-5, weight_decay=0.01, clip_norm=1.0),
            lambda params: Lamb(split(params, 0.01), 1e-5, max_grad_norm=1.0),
        ),
        "muon": (lambda params: Muon(matrices(params), 1e-5, weight_decay=0.01, dtype=torch.bfloat16), timm_muon),
    }


def matrices(params: list[nn.Parameter]) -> list[nn.Parameter]:
    """Filters and matrices."""
    return [parameter for parameter in params if parameter.dim() > 1]


def split(params: list[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Groups as timm's scripts make them: norms and biases are neither decayed nor adapted."""
    others = [parameter for parameter in params if parameter.dim() <= 1]
    return [{"params": matrices(params), "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def measured(ours: Build, timms: Build, model: str, rounds: int) -> dict[str, Any]:
    """Seconds of a step of both, and the ratios of rounds; the first step of each makes its state and is left out."""
    steps = {"ours": begun(ours, model), "timm": begun(timms, model)}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name in list(steps) if turn % 2 else reversed(list(steps)):
            spent = timed(steps[name])
            if turn:
                seconds[name].append(spent)
    ratios = [one / other for one, other in zip(seconds["ours"], seconds["timm"], strict=True)]
    return {"ours": summary(seconds["ours"]), "timm": summary(seconds["timm"]), "ratios": [round(r, 3) for r in ratios]}


def begun(build: Build, model: str) -> Callable[[], Any]:
    """A step of an optimizer on a net's parameters, all with a gradient."""
    import torchvision

    torch.manual_seed(0)
    params = list(torchvision.models.get_model(model).parameters())
    for parameter in params:
        parameter.grad = torch.randn_like(parameter) * 1e-3
    return build(params).step


def timed(step: Callable[[], Any]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
