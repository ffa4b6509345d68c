"""Selection in training loops that are not ours: a sampler, weights, and what the loop has observed."""

from fewer.select.own_loop.chooser import Chooser
from fewer.select.own_loop.indexed import Indexed

__all__ = ["Chooser", "Indexed"]
