"""Schedules of the learning rate, one file each: `train.schedule` names one.

A file has `Params` and `build(params, epochs)`, which returns a `fewer.optim.shapes.Shape`: the learning rate as a
share of `train.lr`, a closed-form function of progress in [0, 1]. One that moves the momentum, too, has
`momentum(params, epochs)`, which returns a function likewise, or None.

They equal those of `torch.optim.lr_scheduler` that are stepped once for each of S batches, at progress k / S before
batch k: LinearLR, CosineAnnealingLR with T_max = S, StepLR and MultiStepLR stepped once an epoch. OneCycleLR reaches
its last value on the last step it counts, these functions at progress 1, behind the last batch: it is equal for
`total_steps = S + 1` and `pct_start = (peak * S + 1) / (S + 1)`. None can be stepped too often.
"""

from fewer.core.registry import Registry

SCHEDULES = Registry("fewer.optim.schedules", "schedule", "fewer.schedules", "schedule")
