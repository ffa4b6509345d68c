"""Values of the keys of `[data]` that say how annotations are used: recipes name them, sources follow them."""

from __future__ import annotations

from typing import Literal

Difficult = Literal["train", "ignore", "use"]
Strata = Literal["auto", "none"]
