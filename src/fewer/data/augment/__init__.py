"""Random views of a whole batch of uint8 pictures at once.

The order: shift-crop and flip, rotation and affine, perspective, TrivialAugment's operation where it is a geometric one
(all of these in one resampling); colour jitter; TrivialAugment's operation where it is one of colour; and after
normalising, which is the caller's, cutout. A view depends on (seed, epoch, id, copy) alone, bit for bit.
"""

from fewer.data.augment.key import Key
from fewer.data.augment.pipeline import Augment

__all__ = ["Augment", "Key"]
