"""Learning-rate schedules: closed-form functions of progress in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable

Schedule = Callable[[float], float]


def linear(progress: float, warmup: float, start: float, final: float) -> float:
    """Linear warm-up from `start` to 1, then linear decay to `final` (Li et al., "Budgeted training", ICLR 2020).

    Args:
        progress: Share of the run that lies behind.
        warmup: Share of the run that the warm-up takes.
        start: Value at progress 0, where there is a warm-up.
        final: Value at progress 1.
    """
    return _warming(progress, warmup, start) if progress < warmup else _falling(progress, warmup, final)


def constant(progress: float, warmup: float, start: float, final: float) -> float:
    """Linear warm-up from `start` to 1, then 1; arguments as for `linear`, `final` has no effect."""
    return _warming(progress, warmup, start) if progress < warmup else 1.0


SCHEDULES = {"linear": linear, "constant": constant}


def _warming(progress: float, warmup: float, start: float) -> float:
    return start + (1 - start) * progress / warmup


def _falling(progress: float, warmup: float, final: float) -> float:
    return 1.0 if warmup >= 1 else 1 + (final - 1) * (progress - warmup) / (1 - warmup)
