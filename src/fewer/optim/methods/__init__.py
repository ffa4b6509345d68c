"""Optimizers, one file each: `train.optimizer` names one.

A file has `Params` and `build(params, groups)`, which returns a `torch.optim.Optimizer` over groups of parameters, as
`fewer.optim.groups.parameter_groups` gives them: each has its own learning rate and weight decay. It may have
`USUAL_LR`: the lowest and highest usual `train.lr` for batches of up to 256 images, from `random` weights and from
`given` ones; a rate far outside is warned of. Where that depends on other keys it has `usual_lr(params)`, which returns
the same. One whose steps multiply matrices has `step_flops(params, groups)`, which counts them.

Besides, `"torch:NAME"` and `"timm:NAME"` are any optimizer that these libraries list (`fewer.optim.library`).
"""

from typing import Any

from fewer.core.registry import Registry


class Optimizers(Registry):
    """Our own files, those of other packages, and what torch and timm list."""

    def hint(self, name: str) -> str:
        if ":" not in name:
            return super().hint(name)
        from fewer.optim.library import hint

        return hint(name)

    def _loaded(self, name: str) -> Any:
        if ":" not in name:
            return super()._loaded(name)
        from fewer.optim.library import LibraryOptimizer

        return LibraryOptimizer(name)


OPTIMIZERS = Optimizers("fewer.optim.methods", "optimizer", "fewer.optimizers", "optimizer")
