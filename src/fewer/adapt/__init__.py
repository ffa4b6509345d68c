"""Selection in training loops that are not ours: a sampler, weights, and what the loop has observed."""

from fewer.adapt.chooser import Chooser
from fewer.adapt.indexed import Indexed

__all__ = ["Chooser", "Indexed"]
