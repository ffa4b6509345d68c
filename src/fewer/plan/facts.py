"""Facts that a plan is compiled from: of the data, of the model, of the machine; and what comes before training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fewer.core.allocation import batch_sizes
from fewer.core.annotation_keys import Difficult
from fewer.core.types import Stage
from fewer.plan.flops import Flops
from fewer.recipe.schema import Recipe

if TYPE_CHECKING:
    from fewer.models.cut import Cut


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """The store that training images come from.

    Attributes:
        path: The file.
        place: What `data.store` says that it is found by.
        side_px: The most pixels that a shorter side has.
        form: "raw" or "jpeg".
        changes: Whether views differ from those of the files.
    """

    path: str
    place: str
    side_px: int
    form: str
    changes: bool


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What is known of the data once it is listed.

    Attributes:
        train_images, val_images, test_images: Sizes of the splits.
        classes: Class names.
        native_side_px: Median short side of the images; the longer one where they are shown whole.
        class_images: Training images of every class; empty where that is not known.
        depth: Bits that the values of 16-bit images have.
        notes: What the user should know of the data.
        store: The store that training images come from; None: their files.
        aspect: Width / height of the frames that whole pictures are fitted to; None: squares are cut out of them.
        annotations: What the images are annotated with: "classes", "boxes" or "masks".
        class_objects: Annotated boxes of every class among the training images, where there are boxes.
        class_pixels: Pixels of every class in a part of the training masks, where the loss weighs classes by them.
        difficult: What becomes of difficult objects; "use" where no object is marked so.
        by_masks: Whether images were drawn by what their masks show, which has made a difference.
    """

    train_images: int
    val_images: int
    test_images: int
    classes: tuple[str, ...]
    native_side_px: int
    class_images: tuple[int, ...] = ()
    depth: int = 16
    notes: tuple[str, ...] = ()
    store: StoreFacts | None = None
    aspect: float | None = None
    annotations: str = "classes"
    class_objects: tuple[int, ...] = ()
    class_pixels: tuple[int, ...] = ()
    difficult: Difficult = "use"
    by_masks: bool = False


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of the model without training it.

    Attributes:
        flops: For every side, the FLOPs of one sample; more than one entry where layers are frozen.
        plain_sample_flops: Forward and backward of one sample at the largest side, with nothing frozen.
        parameters: Number of parameters.
        batchnorm: Whether it keeps running statistics of batches.
        batchnorm_channels: Channels of each layer that normalises by batches.
        shapes: Shapes of its parameters.
        depthwise_share: Share of its layers' numbers that depthwise convolutions give.
        narrow_strides: Whether it has layers that a processor must not train with their channels last.
        weights: SHA-256 of the file with the first weights; empty for random ones.
        moments: Mean and standard deviation of each channel that the first weights were trained with, where known.
        scoring_side_px: Image side that the selector scores batches at; None: that of training.
        notes: What the user should know of the model and its weights.
        problems: What of the recipe the model cannot do.
        layers: Its layers in the order in which they run; those of the head last.
        frozen_layers: How many of them each of the recipe's stages freezes.
        body_layers: How many of them come before the head, where a stage freezes these; else 0.
        cuts: Where the net can be cut behind what a stage freezes, by its side and its number of frozen layers.
        rest_flops: Likewise, FLOPs of training the rest of the net on one image's features.
    """

    flops: Mapping[int, tuple[Flops, ...]]
    plain_sample_flops: int
    parameters: int
    batchnorm: bool = False
    batchnorm_channels: tuple[int, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    depthwise_share: float = 0.0
    narrow_strides: bool = False
    weights: str = ""
    moments: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    scoring_side_px: int | None = None
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    frozen_layers: tuple[int, ...] = ()
    body_layers: int = 0
    cuts: Mapping[tuple[int, int], Cut] = field(default_factory=dict)
    rest_flops: Mapping[tuple[int, int], Flops] = field(default_factory=dict)

    def cut(self, stage: Stage) -> Cut | None:
        """Where the net can be cut behind what a stage freezes; None where it cannot, or was not asked for."""
        return self.cuts.get((stage.side_px, stage.frozen_layers))

    def trained_flops(self, stage: Stage, epoch: int, side_px: int = 0) -> Flops:
        """FLOPs of one sample that a stage trains on in an epoch, at its largest side or at another of its sides."""
        if stage.keeps_features:
            return self.rest_flops[stage.side_px, stage.frozen_layers]
        return self.sample_flops(side_px or stage.side_px, epoch, stage.frozen_layers)

    def mean_training_flops(self, stage: Stage, epoch: int, images: int) -> float:
        """FLOPs of training a sample of an epoch, on average over the sides of its batches.

        Args:
            stage: The epoch's stage.
            epoch: The epoch.
            images: Samples that are trained on.
        """
        if not stage.ramp:
            return self.trained_flops(stage, epoch).training
        sizes = batch_sizes(images, stage.batch_size_at(epoch), images)
        sides = stage.batch_sides_px(epoch, range(len(sizes)))
        each = {side: self.trained_flops(stage, epoch, side).training for side in set(sides)}
        return sum(size * each[side] for size, side in zip(sizes, sides, strict=True)) / images

    def sample_flops(self, side_px: int, epoch: int, frozen_layers: int = 0) -> Flops:
        """FLOPs of one sample at a side in an epoch, of a stage that freezes so many layers."""
        entries = (entry for entry in self.flops[side_px] if entry.frozen_layers == frozen_layers)
        return [entry for entry in entries if entry.from_epoch <= epoch][-1]

    def scoring_flops(self, side_px: int, epoch: int) -> int:
        """FLOPs of one sample's scoring forward in an epoch that trains at a side."""
        return self.sample_flops(self.scoring_side_px or side_px, epoch).forward


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What is known of the machine.

    Attributes:
        processes: Processes that train together; memory and cores are shared among them.
        threads: Threads of one process.
        cores: Cores that all processes share.
        available_bytes: Free memory before anything is decoded; None where the system does not say.
        bf16: Whether the device computes bfloat16 natively.
        device: "cpu" or "cuda".
    """

    processes: int = 1
    threads: int = 1
    cores: int = 1
    available_bytes: int | None = None
    bf16: bool = False
    device: str = "cpu"


def workers_of(recipe: Recipe, machine: MachineFacts) -> int:
    """Workers that share a batch; memory and threads are shared by processes, each of which may simulate several."""
    return recipe.sync.workers or machine.processes


@dataclass(frozen=True, slots=True)
class Preparation:
    """What a selection method takes before the first epoch: reference losses, or the choices of a proxy.

    Attributes:
        sides_px: Sides of the images that are looked at, in their order.
        costs: Ledger keys, over all processes: lowest and highest.
        weights: SHA-256 of the file of the model that is given; empty where proxies are trained.
        name: What it is called in notes, a plural.
        by: Where it comes from, for notes.
        cheaper: How it could cost less, in the imperative; often nothing.
    """

    sides_px: tuple[int, ...]
    costs: Mapping[str, tuple[int, int]]
    weights: str = ""
    name: str = "reference losses"
    by: str = "the given model"
    cheaper: str = ""

    @property
    def flops(self) -> float:
        """What it costs; that of its steps is known exactly."""
        return float(self.costs["flops"][1])


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known before the first step.

    Attributes:
        data, model, machine: What is known of each.
        preparation: What comes before the first epoch, where the selection method needs that.
    """

    data: DataFacts
    model: ModelFacts
    machine: MachineFacts = MachineFacts()
    preparation: Preparation | None = None

    @property
    def plain_epoch_flops(self) -> int:
        """What one plain epoch costs: all training images at the largest side, nothing frozen."""
        return self.data.train_images * self.model.plain_sample_flops

    @property
    def preparation_flops(self) -> float:
        """What the selection method costs before the first epoch."""
        return self.preparation.flops if self.preparation else 0.0
