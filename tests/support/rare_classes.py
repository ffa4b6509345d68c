"""Classes of very different sizes: logits and labels, losses built for them, and a run."""

from __future__ import annotations

from typing import Any

import torch

from fewer.tasks.classify.loss import LOSSES, Loss, Setting

IMAGES = (1000, 200, 16, 1)


def case(seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(24, len(IMAGES), generator=generator, dtype=torch.float64)
    return logits.to(dtype).requires_grad_(), torch.arange(24) % len(IMAGES)


def built(name: str, value: float, **setting: Any) -> Loss:
    module = LOSSES.module(name)
    (key,) = module.Params.model_fields
    return module.build(module.Params(**{key: value}), Setting(IMAGES, **setting))


def gradient(loss_B: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss_B.sum(), logits, retain_graph=True)[0]


RUN: dict[str, Any] = {
    "data": {"source": "digits", "test": "80%", "val": "none", "long_tail": {"factor": 6.0}},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"epochs": 2, "batch_size": 24, "lr": 0.05, "precision": "fp32"},
}
