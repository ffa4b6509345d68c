"""Optimizers, one file each: `train.optimizer` names one.

A file has `Params` and `build(params, groups)`, which returns a `torch.optim.Optimizer` over groups of parameters, as
`fewer.optim.groups.parameter_groups` gives them: each has its own learning rate and weight decay.
"""

from fewer.core.registry import Registry

OPTIMIZERS = Registry("fewer.optim.methods", "optimizer", "fewer.optimizers", "optimizer")
