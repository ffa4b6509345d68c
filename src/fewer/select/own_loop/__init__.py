"""Selection in foreign training loops: a sampler, weights, and the losses that the loop observes."""

from fewer.select.own_loop.chooser import Chooser
from fewer.select.own_loop.indexed import Indexed

__all__ = ["Chooser", "Indexed"]
