"""What the user asks: a recipe, typed, without importing torch. `fewer.reading` turns TOML into one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PlainSerializer

from fewer import select
from fewer.clock import Duration
from fewer.fields import Count, Epochs, Flag, Index, NonNegative, Positive, Section, Seed, Share, Side, Span


class DataRecipe(Section):
    """`[data]`: where the images come from."""

    source: str
    """`digits`, `tar:PATH` or `folder:PATH`; a path is relative to the recipe's own folder."""
    test: str = "auto"
    """`auto` (the source's own split, else 20 % held out), a source, a share such as `"20%"`, or `none`."""
    val: str = "5%"
    """A share of the training images, a source, or `none`. Settings are chosen on it, never on test."""
    split_seed: Seed = 0
    """Seed of every held-out share, apart from the training seed."""
    damaged: Literal["error", "quarantine"] = "error"
    """What happens to images that cannot be decoded: stop, or leave them out, counted and listed."""
    cache: Literal["auto", "no"] = "auto"
    """Whether content hashes are remembered between runs."""
    processes: Index | Literal["auto"] = "auto"
    """Threads that decode images into memory; `auto`: one a core."""


class AugmentRecipe(Section):
    """`[augment]`: random views of the training images, drawn on the device a batch at a time."""

    crop_padding_px: Index = 0
    """Random crop of the image padded by this much on each side, at the largest side of the plan."""
    padding: Literal["zero", "reflect"] = "zero"
    flip: Literal["no", "random", "alternating"] = "no"
    """Left-right flips: drawn for each view, or drawn once and then alternating from epoch to epoch."""
    cutout_px: Index = 0
    """Side of a square that is blanked at a random place, at the largest side of the plan."""


class ModelRecipe(Section):
    """`[model]`."""

    name: Literal["lenet5", "cnn"]
    width: Annotated[float, Field(gt=0, le=8, strict=True)] = 1.0
    """Factor on the number of channels."""
    whiten: Flag = False
    """`cnn`: first layer fixed to whitening filters of the training images' 2x2 patches."""
    whiten_bias_epochs: Index = 3
    """`cnn`: epochs during which the whitening layer's bias is trained."""
    batchnorm_momentum: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.4
    """Weight of the newest batch in BatchNorm's running statistics (torch's convention)."""
    logit_scale: Positive = 0.111
    """`cnn`: factor on the logits."""


class TaskRecipe(Section):
    """`[task]`."""

    name: Literal["classify"] = "classify"
    loss: Literal["cross_entropy"] = "cross_entropy"
    flip_tta: Flag = False
    """Evaluate the mean of the logits of an image and of its mirror image."""


class LookaheadRecipe(Section):
    """`[train.lookahead]`: slow weights that pull the fast ones (Zhang et al. 2019), as airbench94 uses them.

    Every `every_steps` steps slow += (1 - rho) (fast - slow) and fast = slow, with
    rho = decay^every_steps * progress^power; at the end of each epoch fast = slow.
    """

    every_steps: Count = 5
    decay: Share = 0.95
    power: NonNegative = 3.0
    start: Span = Duration(3, "ep")


class TrainRecipe(Section):
    """`[train]`."""

    epochs: Epochs = 10
    """Left out where `[[stages]]` say how many epochs they take."""
    batch_size: Count = 128
    """Images in one optimizer step, over all ranks."""
    accumulate: Count = 1
    """Micro-batches that a step's batch is cut into; lowers memory. BatchNorm sees one micro-batch at a time."""
    optimizer: Literal["sgd"] = "sgd"
    lr: Positive = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.9
    nesterov: Flag = True
    weight_decay: NonNegative = 5e-4
    bias_lr_scale: Positive = 1.0
    """Factor on the learning rate of biases outside normalisation layers."""
    bias_weight_decay: NonNegative = 0.0
    norm_lr_scale: Positive = 1.0
    """Factor on the learning rate of normalisation layers' weights and biases."""
    norm_weight_decay: NonNegative = 0.0
    schedule: Literal["linear", "constant"] = "linear"
    warmup: Span = Duration(5, "%")
    warmup_start: Share = 0.1
    """Learning rate at the first step, as a share of `lr`."""
    final: Share = 0.0
    """Learning rate at the very end, as a share of `lr`."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.0
    clip_norm: NonNegative = 0.0
    """Largest norm of the gradient over all parameters; 0: no clipping."""
    ema: Span | Literal["off"] = "off"
    """Half-life of the exponential moving average of the weights, counted in samples trained on."""
    lookahead: LookaheadRecipe | None = None
    precision: Literal["auto", "fp32", "bf16", "fp64"] = "auto"
    channels_last: Literal["auto", "yes", "no"] = "auto"
    seed: Seed = 0


class StageRecipe(Section):
    """`[[stages]]`: whole epochs with one image side and one batch size."""

    epochs: Epochs
    side_px: Side | None = None
    """Left out: the data's own side."""
    batch_size: Count | None = None
    """Left out: `train.batch_size`."""


class SyncRecipe(Section):
    """`[sync]`: how ranks agree."""

    method: Literal["every_step"] = "every_step"


class OutRecipe(Section):
    """`[out]`: what is kept, and where."""

    dir: str = ""
    """Run folder; left out: `runs/NAME` after the recipe's file name."""
    evaluate_every: Index = 1
    """Epochs between evaluations on the validation set; 0: only at the end."""
    checkpoint_every: Span = Duration(1, "ep")
    keep: Count = 3
    """Newest checkpoints that are kept."""
    plots: Flag = True
    """Curves as PNG files in `plots/`, drawn anew while training goes on, and at its end."""
    previews: Flag = True
    """Training views of each stage, and thumbnails of the worst test images, in `previews/`."""


class Recipe(Section):
    """A whole recipe. Every key has a default but `data.source` and `model.name`."""

    data: DataRecipe
    augment: AugmentRecipe = AugmentRecipe()
    model: ModelRecipe
    task: TaskRecipe = TaskRecipe()
    train: TrainRecipe = TrainRecipe()
    select: Annotated[BaseModel, PlainSerializer(lambda s: s.model_dump(mode="json"))] = Field(
        default_factory=lambda: select.default()
    )
    stages: tuple[StageRecipe, ...] = ()
    sync: SyncRecipe = SyncRecipe()
    out: OutRecipe = OutRecipe()

    @property
    def epochs(self) -> int:
        """All epochs of the run: those of the stages, where there are any."""
        return sum(stage.epochs for stage in self.stages) or self.train.epochs

    def to_toml(self) -> str:
        """The recipe with every key written out; `load_recipe` reads it back as the same recipe."""
        import tomli_w

        return tomli_w.dumps(_without_none(self.model_dump(mode="json")))


def changed_keys(before: Recipe, after: Recipe) -> list[tuple[str, Any, Any]]:
    """Key, old and new value of everything that differs."""

    def flat(value: Any, prefix: str = "") -> dict[str, Any]:
        if isinstance(value, list):
            value = dict(enumerate(value))
        if not isinstance(value, dict):
            return {prefix.rstrip("."): value}
        return {name: item for key, inner in value.items() for name, item in flat(inner, f"{prefix}{key}.").items()}

    old, new = flat(before.model_dump(mode="json")), flat(after.model_dump(mode="json"))
    return [(key, old.get(key), new.get(key)) for key in sorted({*old, *new}) if old.get(key) != new.get(key)]


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
