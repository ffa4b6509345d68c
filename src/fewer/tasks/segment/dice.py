"""The Dice loss of images. B: images of the batch. C: classes. P: pixels of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.tasks.segment.pixels import Pixels


def dice_loss(pixels: Pixels) -> Tensor:
    """1 - 2 |P T| / (|P| + |T|) of each image, a mean over the classes that it has; 0 without a valid pixel.

    See `fewer.tasks.segment.losses.dice`.
    """
    p_BCP = pixels.log_p_BCHW.exp().flatten(2) * pixels.valid_BHW.flatten(1)[:, None]
    label_BP, valid_BP = pixels.label_BHW.flatten(1), pixels.valid_BHW.flatten(1)
    own_BP = p_BCP.gather(1, label_BP[:, None]).squeeze(1)
    zero_BC = p_BCP.new_zeros(p_BCP.shape[:2])
    overlap_BC = zero_BC.scatter_add(1, label_BP, own_BP)
    true_BC = zero_BC.scatter_add(1, label_BP, valid_BP.to(p_BCP))
    loss_BC = 1 - 2 * overlap_BC / (p_BCP.sum(2) + true_BC).clamp(min=1)
    present_BC = true_BC > 0
    return (loss_BC * present_BC).sum(1) / present_BC.sum(1).clamp(min=1)
