"""The budget of a run: what its epochs cost, and the share of the images that `select.cost` pays for.

The level of the shares is solved for before every epoch from what has been spent, so that later epochs make up for
whatever came out otherwise than expected (scoring, guards, rounding). A budget is numbers only: it needs no plan and no
model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel

from fewer.core.allocation import batch_sizes
from fewer.core.types import At, Expectation
from fewer.select.method_params import ChoiceParams
from fewer.select.oscillation import STEADY, Oscillation

Expected = Callable[[At], Expectation]
"""What a selector expects of an epoch; its cost must not fall as `At.share` rises."""

_HALVINGS = 50


def asked_cost(params: BaseModel) -> float | None:
    """`select.cost` of a method's parameters; None where it is left out, or the method has no such key."""
    return params.cost if isinstance(params, ChoiceParams) else None


def asked_oscillation(params: BaseModel, epochs: int) -> Oscillation:
    """`select.oscillation` of a method's parameters in a run of so many epochs; none where the method has no key."""
    return params.swing(epochs) if isinstance(params, ChoiceParams) else STEADY


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may spend, and what it spends it on.

    Attributes:
        images: Training images.
        training_flops: FLOPs of one sample's forward and backward, for every epoch; a mean where batches have several
            sides.
        scoring_flops: FLOPs of one sample's scoring forward, for every epoch.
        cost: The share of `full_flops` that the run is to cost; None: no cost was asked for.
        before_flops: What is spent before the first epoch, such as reference losses.
        after_flops: What is spent after the last epoch, such as BatchNorm's statistics for another side.
        after_partial_flops: What is spent after the last epoch if that leaves images out.
        feature_flops: What every epoch spends on features that are kept; left out: nothing.
        shown_images: Training images that every epoch shows; left out: all.
        step_flops: FLOPs of one optimizer step beside those of its samples, for every epoch; left out: none.
        batch_sizes: Images of a full batch, for every epoch.
        packs: Batches are full ones; else there are as many as the images that are shown fill.
        oscillation: How the share that the cost pays for goes down and up.
    """

    images: int
    training_flops: tuple[float, ...]
    scoring_flops: tuple[int, ...]
    cost: float | None = None
    before_flops: float = 0.0
    after_flops: float = 0.0
    after_partial_flops: float = 0.0
    feature_flops: tuple[float, ...] = ()
    shown_images: tuple[int, ...] = ()
    step_flops: tuple[int, ...] = ()
    batch_sizes: tuple[int, ...] = ()
    packs: bool = False
    oscillation: Oscillation = STEADY

    @property
    def epochs(self) -> int:
        return len(self.training_flops)

    @property
    def full_flops(self) -> float:
        """What the run would cost if every epoch trained on everything."""
        all_images = self.images
        return float(sum(self.training(e, all_images, all_images) + self.features(e) for e in range(self.epochs)))

    def at(self, epoch: int, level: float | None = None) -> At:
        """The moment before an epoch, where shares are at this level or swing about it; None: the method decides."""
        share = last = None
        if level is not None:
            share = self.oscillation.share(epoch, level)
            last = self.oscillation.share(epoch - 1, level) if epoch and self.oscillation.amplitude else None
        now, before = (self.shown(each) / max(1, self.images) for each in (epoch, max(0, epoch - 1)))
        return At(epoch, self.epochs, epoch / self.epochs, share, now, last, None if before == now else before)

    def shown(self, epoch: int) -> int:
        """How many training images an epoch shows."""
        return self.shown_images[epoch] if self.shown_images else self.images

    def work(self, epoch: int) -> float:
        """FLOPs of an epoch that trains on all that it shows, selection apart."""
        return self.training(epoch, self.shown(epoch)) + self.features(epoch)

    def of_images(self, epoch: int) -> float:
        """The same without the optimizer's own."""
        return self.shown(epoch) * self.training_flops[epoch] + self.features(epoch)

    def training(self, epoch: int, images: int, counted: int | None = None) -> float:
        """FLOPs of training on so many images in an epoch, with the optimizer's own; arguments as for `steps`."""
        own = self.step_flops[epoch] if self.step_flops else 0
        return images * self.training_flops[epoch] + (own * self.steps(epoch, images, counted) if own else 0)

    def steps(self, epoch: int, images: int, counted: int | None = None) -> int:
        """Optimizer steps of an epoch.

        Args:
            epoch: The epoch.
            images: How many it trains on.
            counted: Of how many images there are as many batches, unless batches are full ones; left out: of all that
                it shows.
        """
        shown = self.shown(epoch) if counted is None else counted
        return len(batch_sizes(images, self.batch_sizes[epoch], images if self.packs else shown))

    def features(self, epoch: int) -> float:
        """FLOPs of an epoch's features that are kept."""
        return self.feature_flops[epoch] if self.feature_flops else 0.0

    def epoch_flops(self, epoch: int, expectation: Expectation) -> tuple[float, float]:
        """Lowest and highest FLOPs of an epoch's scoring and training."""
        images = self.shown(epoch)
        scoring = round(expectation.scored * images) * self.scoring_flops[epoch] + self.features(epoch)
        low, high = (round(kept * images) for kept in (expectation.kept_low, expectation.kept_high))
        return self.training(epoch, low) + scoring, self.training(epoch, high) + scoring

    def remaining_flops(self, expected: Expected, epoch: int, level: float) -> float:
        """What the epochs from `epoch` on, and what comes after the last, cost where shares are at this level."""
        each = [expected(self.at(e, level)) for e in range(epoch, self.epochs)]
        flops = sum(self.epoch_flops(e, expectation)[1] for e, expectation in enumerate(each, epoch))
        return flops + self.after_flops + (self.after_partial_flops if each and each[-1].kept_low < 1 else 0.0)

    def affordable_level(self, expected: Expected, epoch: int, spent_flops: float) -> float | None:
        """The level of the shares that epochs from `epoch` on may train on, so that the run costs what was asked.

        It is every epoch's share, unless shares oscillate; `at` says what they are then.

        Args:
            expected: What the selector expects of an epoch.
            epoch: The first epoch that is still to come.
            spent_flops: What the run has cost so far.

        Returns:
            A level from 0 to that at which everything is trained on, 1 without oscillation; None where no cost was
            asked for.
        """
        if self.cost is None:
            return None
        left = self.cost * self.full_flops - spent_flops
        low, high = 0.0, self.oscillation.highest_level
        if self.remaining_flops(expected, epoch, high) <= left:
            return high
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if self.remaining_flops(expected, epoch, middle) <= left:
                low = middle
            else:
                high = middle
        # Where class floors cost as much at share 0, whatever the method adds to them would come on top.
        floor = self.remaining_flops(expected, epoch, 0.0)
        return 0.0 if self.remaining_flops(expected, epoch, low) <= floor else low

    def first_level(self, expected: Expected) -> float | None:
        """The affordable level before the first epoch."""
        return self.affordable_level(expected, 0, self.before_flops)

    def smallest_cost(self, expected: Expected) -> float:
        """The smallest share of the full cost that the method can do with."""
        return (self.before_flops + self.remaining_flops(expected, 0, 0.0)) / self.full_flops

    def missed_cost(self, spent_flops: float) -> str:
        """A warning where a run took another share of the full cost than was asked for; empty within 1 %."""
        took = spent_flops / self.full_flops
        if self.cost is None or abs(took - self.cost) <= 0.01 * self.cost:
            return ""
        return f"select.cost = {self.cost:g} was missed: the run took {took:.3g} of the full cost"
