"""Weight decay and learning rates by kind of parameter."""

from __future__ import annotations

DECAY = {"weight": 0.1, "bias": 0.0, "norm": 0.0}
SCALE = {"weight": 1.0, "bias": 2.0, "norm": 64.0}
