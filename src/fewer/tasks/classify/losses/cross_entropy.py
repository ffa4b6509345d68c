"""Cross-entropy, with label smoothing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fewer.core.registry import Settings
from fewer.tasks.classify.cross_entropy import cross_entropy
from fewer.tasks.classify.loss import LossParams

if TYPE_CHECKING:
    from fewer.tasks.classify.loss import Loss, Setting

EXAMPLES: list[Settings] = [{}]


class Params(LossParams):
    mixes = True


def build(params: Params, setting: Setting) -> Loss:
    return partial(cross_entropy, label_smoothing=setting.label_smoothing)
