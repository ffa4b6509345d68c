"""Optimizers, one file each: `train.optimizer` names one.

A file has `Params` and `build(params, groups)`, which returns a `torch.optim.Optimizer` over groups of parameters, as
`fewer.optim.groups.parameter_groups` gives them: each has its own learning rate and weight decay. It may have
`USUAL_LR`: the lowest and highest usual `train.lr` for batches of up to 256 images, from `random` weights and from
`given` ones; a rate far outside is warned of. One whose steps multiply matrices has
`step_flops(params, groups)`, which counts them.
"""

from fewer.core.registry import Registry

OPTIMIZERS = Registry("fewer.optim.methods", "optimizer", "fewer.optimizers", "optimizer")
