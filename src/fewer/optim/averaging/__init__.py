"""Averages of the weights, one file each: a key of `[train]` of the file's own name asks for one.

A file has `Params`, with a key of the file's name that is off by default, and `build(params, model, setting)`, which
returns a `fewer.core.protocols.Average`. `EVALUATED` says whether the average takes the model's place in evaluations
and in what is published; left out: it does not. Of these a run has one at most. `RENEWS_STATISTICS` says that
running statistics of BatchNorm do not fit the averaged weights; the average's own `renews_statistics` then says whether
that is so by now, and evaluations estimate them again. `MOVES` says that the average moves the model; of these, too, a
run has one at most. `FOLLOWS_SYNCS` says that the average is right where it is updated at the syncs of a local method
rather than behind every step; left out: it is refused there.
"""

from fewer.core.registry import Registry

AVERAGES = Registry("fewer.optim.averaging", "average of the weights", "fewer.averages")
