"""Averages of the weights, one file each: a key of `[train]` of the file's own name asks for one.

A file has `Params`, with a key of the file's name that is off by default, and `build(params, model, setting)`, which
returns a `fewer.core.protocols.Average`. `EVALUATED` says whether the average takes the model's place in evaluations
and in what is published; left out: it does not.
"""

from fewer.core.registry import Registry

AVERAGES = Registry("fewer.optim.averaging", "average of the weights", "fewer.averages")
