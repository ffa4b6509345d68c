"""Weights by class in the loss, from the training pixels of each class. C: classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from fewer.core.errors import RecipeError

Rule = Literal["none", "inverse", "log"]
_FLOOR = 1.02  # Paszke et al. 2016: no weight is above 1 / log(1.02), 50 times that of a class of all pixels


def class_weights(rule: Rule, pixels_C: Sequence[int]) -> tuple[float, ...]:
    """A weight for every class, whose mean over the training pixels is 1; none for the rule "none".

    `inverse`: in proportion to 1 / p, p being the class's share of the pixels. `log`: to 1 / log(1.02 + p) (Paszke et
    al. 2016, ENet, arXiv 1606.02147, section 5), which lets rare classes count more, and not without bounds. The mean
    of 1 leaves the loss its size, and the learning rate that suits it. A class without pixels, perhaps one
    that the counted masks do not show, has the largest weight of the others.

    Raises:
        RecipeError: The pixels are not known.
    """
    if rule == "none":
        return ()
    if not pixels_C or not sum(pixels_C):
        text = f'task.class_weights = "{rule}": the training pixels of each class are not known'
        raise RecipeError(f'{text}; set task.class_weights = "none"')
    total, rarest = sum(pixels_C), min(filter(None, pixels_C))
    n_C = [pixels or rarest for pixels in pixels_C]
    weight_C = [total / n if rule == "inverse" else 1 / math.log(_FLOOR + n / total) for n in n_C]
    mean = math.fsum(weight * n for weight, n in zip(weight_C, pixels_C, strict=True)) / total
    return tuple(weight / mean for weight in weight_C)
