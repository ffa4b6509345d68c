"""Test-time augmentation: the mean of a model's logits over several views of an image, or of those it is unsure of.

Views and weights are airbench94's (Jordan 2024): its level 1 is `flip`, its level 2 `flip_and_shift`. Looking again at
the images of low confidence alone is hiverge's (cifar10-speedrun, 2025). Whether an image is looked at again depends on
the image alone, so its prediction is the same beside any others, in batches of any size, on any number of ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fewer.tasks.classify.prediction import probabilities

if TYPE_CHECKING:
    from torch import Tensor

Tta = Literal["none", "flip", "flip_and_shift"]
VIEWS: dict[Tta, int] = {"none": 1, "flip": 2, "flip_and_shift": 6}


@dataclass(frozen=True, slots=True)
class Views:
    """The views of an image that are evaluated.

    Attributes:
        tta: Which: the image alone; also its mirror image; also both shifted by a pixel, up and left and down and
            right. The shifted ones have half of the weight.
        below: Images whose most probable class has a smaller probability, by the image alone, are looked at in all
            views, and others in one; 1: all are.
    """

    tta: Tta = "none"
    below: float = 1.0

    def logits(self, output: Callable[[Tensor], Tensor], image_BCHW: Tensor) -> tuple[Tensor, int]:
        """The logits that are evaluated (B, C), and how many images went forward for them.

        Args:
            output: Logits of images.
            image_BCHW: Normalised images.
        """
        logits_BC, images = output(image_BCHW), len(image_BCHW)
        if self.tta == "none":
            return logits_BC, images
        if self.below == 1:
            return self._mean(output, image_BCHW, logits_BC), images * VIEWS[self.tta]
        unsure_U = (probabilities(logits_BC).amax(1) < self.below).nonzero()[:, 0]
        if len(unsure_U):
            again_UC = self._mean(output, image_BCHW[unsure_U], logits_BC[unsure_U])
            logits_BC = logits_BC.index_copy(0, unsure_U, again_UC)
        return logits_BC, images + len(unsure_U) * (VIEWS[self.tta] - 1)

    def _mean(self, output: Callable[[Tensor], Tensor], image_BCHW: Tensor, plain_BC: Tensor) -> Tensor:
        """The mean over all views, of which the first has been looked at."""
        from torch.nn.functional import pad

        both_BC = (plain_BC + output(image_BCHW.flip(-1))) / 2
        if self.tta == "flip":
            return both_BC
        padded = pad(image_BCHW, (1, 1, 1, 1), "reflect")
        shifted = padded[..., :-2, :-2], padded[..., 2:, 2:]
        first_BC, second_BC = ((output(each) + output(each.flip(-1))) / 2 for each in shifted)
        return (both_BC + (first_BC + second_BC) / 2) / 2


AS_IT_IS = Views()
