"""Random views of a whole batch of uint8 pictures at once.

The order: shift-crop and flip, rotation and affine, perspective, TrivialAugment's and RandAugment's operations where
they are geometric ones (all of these in one resampling); colour jitter; their operations of colour; and after
normalising, which is the caller's, cutout and random erasing. A view depends on (seed, epoch, id, copy) alone,
bit for bit.
"""

from fewer.data.augment.key import Key
from fewer.data.augment.pipeline import Augment

__all__ = ["Augment", "Key"]
