"""The recipe: a user's request, typed, without importing torch. `fewer.recipe.parse` turns TOML into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, SerializeAsAny

from fewer.core.clock import Duration
from fewer.core.config import (
    Count,
    Epochs,
    Flag,
    Index,
    NonNegative,
    Positive,
    Section,
    Seed,
    Share,
    Side,
    Span,
)
from fewer.core.errors import RecipeError
from fewer.core.registry import Registry
from fewer.core.sections import section_of
from fewer.core.spending import Budgeted
from fewer.models import ModelParams
from fewer.models.frozen_key import Frozen
from fewer.optim import TrainParams
from fewer.recipe.augment_section import AugmentRecipe, Strength
from fewer.recipe.data_section import DataRecipe
from fewer.runs.remote.address import parse_address
from fewer.select import MethodParams
from fewer.sync.methods import SYNC_METHODS
from fewer.tasks import TASKS

AUTO_LR: Literal["auto"] = "auto"  # a peak learning rate that is still to be found
AUTO_BATCH: Literal["auto"] = "auto"  # a batch size that is still to be fitted to the machine's memory
BatchSize = Count | Literal["auto"]


def number_of(batch_size: int | Literal["auto"], key: str) -> int:
    """A batch size that is a number.

    Raises:
        RecipeError: It is still to be fitted to the machine.
    """
    if batch_size == AUTO_BATCH:
        raise RecipeError(f'{key} = "auto" is no number yet: `fewer.fit` and `fewer plan` find one; give it here')
    return batch_size


class TaskRecipe(Section):
    """`[task]`: what is learnt."""

    named_parts: ClassVar[Mapping[str, Registry]] = {"name": TASKS}

    name: str = "classify"
    """Which task; brings keys of its own."""


class TrainRecipe(TrainParams):
    """`[train]`: how the model is trained."""

    epochs: Epochs = 10
    """Left out where `[[stages]]` say how many epochs they take."""
    budget: Budgeted = "off"
    """What the run may cost in all: `"0.6"`, a share of what plain training takes for `epochs`, or `"1e15flop"`. The
    epochs become the most that stay within it, by the most that the plan predicts; those of stages in proportion.
    `"30min"` or `"2h"`: the schedule follows the clock, behind every epoch of the last stage, and ends in time."""
    side_px: Side | None = None
    """Side of the square images that are trained on and evaluated. Left out: the images' own side (median of the
    shorter), but 32 px at least and 128 px at most. A stage's `side_px` goes before it."""
    evaluation_side_px: Side | None = None
    """Side that models are evaluated and published at, where it is not the one that is trained on. With random crops,
    which enlarge what they show, a third more than `side_px` costs nothing and is more accurate (Touvron et al. 2019).
    A stage's own goes before it."""
    patience: Span | Literal["off"] = "off"
    """Early stopping: once so long no validation has been better than the best, by the metric of `evaluate.best`, the
    rest of the schedule is passed through in as many epochs again, and the run ends. With stages it counts in the last
    of them."""
    batch_size: BatchSize = 128
    """Images in one optimizer step, over all ranks. `auto`: the largest power of two of 8 to 1,024 whose step, of the
    whole model on the largest images, takes no more than 80 % of the memory that is free here, and that leaves an epoch
    16 steps. The resolved recipe has the number. `lr` is for that batch, whatever it is, unless `lr_scaling` and
    `lr_batch_size` say otherwise."""
    batch_ramp: Count | Literal["off"] = "off"
    """Largest batch that grows in place of a falling rate (Smith et al., "Don't decay the learning rate, increase the
    batch size", ICLR 2018): in epochs before which the schedule has halved the rate since its peak, once or more, the
    batch is doubled as often instead, as far as it stays within this size. The rate is then the schedule's times the
    growth, so rate per image follows the schedule, in fewer steps. A stage's own `batch_size` is what doubles. With
    `lr_scaling = "sqrt"` a doubled batch takes the root of two of the schedule's rate."""
    accumulate: Count = 1
    """Micro-batches that a step's batch is cut into; lowers memory. BatchNorm sees one micro-batch at a time. Where a
    device's memory does not suffice, steps are done again in twice as many, and the rest of the run stays with them."""
    lr: Positive | Literal["auto"] = 0.1
    """Peak learning rate; `auto`: what `fewer lr-find` recommends for the first stage, found before the training and
    booked as part of it. Left out: 0.1 for `sgd`, 0.001 for `adamw`, 3.0 for `lars`, 0.003 for `lamb` and `muon`; with
    `model.weights`, `adamw`, and what it takes in fine-tuning (`src/fewer/recipe/defaults.py`)."""
    lr_scaling: Literal["none", "linear", "sqrt"] = "none"
    """How the learning rate follows the batch size of a stage: not at all, in proportion, or by the square root."""
    lr_batch_size: Count | None = None
    """`lr_scaling`: the batch size that `lr` is meant for. Left out: `train.batch_size`, unless that is `auto`."""
    lr_max: Positive | None = None
    """`lr_scaling`: the largest learning rate that it gives; left out: any."""
    schedule_over: Literal["run", "stage"] = "run"
    """`run`: one schedule over all epochs. `stage`: each stage passes through a whole schedule of its own, in which
    "5%" means a share of the stage."""
    weight_decay: NonNegative = 5e-4
    """Of matrices and filters. `sgd` adds it to the gradient; `adamw` shrinks by it, and 0.01 to 0.1 is usual there."""
    head_lr_scale: Positive = 1.0
    """Factor on the learning rate of the last layer, which starts at zero while `model.weights` fill the others."""
    layer_lr_decay: Annotated[Share, Field(gt=0)] = 1.0
    """Factor on the learning rate from each block of the model to the one before it: 1 at the head, least next to the
    images. 0.65 to 0.8 is usual where `model.weights` are fine-tuned."""
    bias_lr_scale: Positive = 1.0
    """Factor on the learning rate of biases outside normalisation layers."""
    bias_weight_decay: NonNegative = 0.0
    """Weight decay of biases; 0: none."""
    norm_lr_scale: Positive = 1.0
    """Factor on the learning rate of normalisation layers' weights and biases."""
    norm_weight_decay: NonNegative = 0.0
    """Weight decay of normalisation layers' weights and biases; 0: none."""
    embedding_weight_decay: NonNegative = 0.0
    """Of class tokens, position embeddings, layer scales and whatever else is neither a layer's weight nor its bias."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.0
    """Share of the target probability that is spread evenly over all classes."""
    clip_norm: NonNegative = 0.0
    """Largest norm of the gradient over all parameters; 0: no clipping."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "fp64"] = "auto"
    """`bf16` and `fp16` are mixed: weights stay float32. `auto`: `bf16` where it is native, else `fp16` on CUDA and
    `fp32` elsewhere; `fp32` on processors for nets of depthwise convolutions (MobileNets, EfficientNets), which are
    faster so."""
    compile: Literal["no", "yes", "require"] = "no"
    """Compile the training forward with torch.compile; `yes` goes on without where that fails, `require` stops."""
    deterministic: Flag = False
    """Use only operations that give the same bits every time, and stop at one that has no such form."""
    channels_last: Literal["auto", "yes", "no"] = "auto"
    """Memory layout of images and filters; results differ by rounding only. `auto`: `no` where that is unsafe."""
    seed: Seed = 0
    """Of everything that is drawn: first weights, order of the images, views, samples."""
    data_seed: Seed | None = None
    """Of the order of the images, their views and the samples that a method draws; first weights and dropout keep
    `seed`. Runs of one data seed see the same images in the same order, whatever they train. Left out: `seed`."""

    @property
    def seed_of_data(self) -> int:
        """What the order of the images, their views and the draws of methods follow from."""
        return self.seed if self.data_seed is None else self.data_seed

    @property
    def images_per_step(self) -> int:
        """`batch_size` as a number.

        Raises:
            RecipeError: It is still to be fitted to the machine.
        """
        return number_of(self.batch_size, "train.batch_size")


class StageRecipe(Section):
    """`[[stages]]`: whole epochs in which nothing changes by plan."""

    epochs: Epochs
    side_px: Side | None = None
    """Left out: `train.side_px`."""
    ramp: Literal["off", "timm"] = "off"
    """`timm`: each batch draws one of the sides `ramp_px`, at first most often the smallest, in the stage's last epoch
    the largest, by the rule of timm 1.0.31 (`src/fewer/core/ramp.py`)."""
    ramp_px: tuple[Side, ...] = ()
    """`ramp`: two to eight ascending sides, such as `[128, 160, 192, 224]`; `side_px` is left out, and the largest."""
    ramp_spread: NonNegative = 0.65
    """`ramp`: standard deviation of the window that moves over the sides, in places of `ramp_px`; 0: the nearest."""
    ramp_uniform: Share = 0.1
    """`ramp`: share of the batches that draw from all sides alike, to the end."""
    batch_size: BatchSize | None = None
    """Left out: `train.batch_size`. `auto`: as there, for the images of this stage."""
    strength: Strength = 1.0
    """Factor on the magnitudes of `[augment]`; 0 is the evaluation view. `[0.3, 1]`: from 0.3 in the stage's first
    epoch to 1 in its last, in equal steps."""
    mix: Share | None = None
    """Factor on `augment.mix_share`; 0: no batch is mixed. Left out: `strength`, which then weakens all of it."""
    lr_scale: Positive = 1.0
    """Factor on the learning rate."""
    lr_ramp: Span = Duration(0, "ep")
    """At the stage's start, the time in which the learning rate rises in a straight line to what it would be: "1ep",
    "10%" of the stage, or "100step", which are counted as if it trained on all images."""
    lr_ramp_start: Share = 0.1
    """`lr_ramp`: the share of the learning rate that it begins with."""
    data_share: Annotated[Share, Field(gt=0)] = 1.0
    """Share of the training images that an epoch shows: of every class alike, other images in each epoch, all equally
    often over epochs. A selection method chooses among these."""
    frozen: Frozen = ()
    """Layers that are not trained in this stage: in the order in which they run, up to and including what is named.
    `["layer2"]`, a list of modules' names; `"50%"`, so many of the layers before the head; `"all but the head"`; or
    `"all before the last norm"`, for a short last stage at the side of evaluation (Touvron et al. 2019). BatchNorm of
    what is frozen keeps its statistics. A stage with shorter `frozen` thaws what it leaves out."""
    frozen_anyway: Flag = False
    """Freeze although that saves less than 5 % of the stage's arithmetic."""
    keep_features: Literal["auto", "yes", "no"] = "auto"
    """With frozen layers and views that stay the same (`strength = 0`): compute what they give for each image once, in
    eval mode, and train the rest on that. `auto`: where all but the head is frozen, which makes epochs cost next to
    nothing; `yes`: for any frozen beginning that the net can be cut behind, or stop. Features further inside may take
    more memory than images; `fewer plan` says how much."""
    evaluation_side_px: Side | None = None
    """Image side of this stage's validation, and with the last stage that of test and of the published model. Left
    out: `train.evaluation_side_px`, else `side_px`. Only models that were evaluated at the last stage's side compete
    for the best."""


class SyncRecipe(Section):
    """`[sync]`: how ranks agree."""

    named_parts: ClassVar[Mapping[str, Registry]] = {"method": SYNC_METHODS}

    method: str = "every_step"
    """When workers exchange what; brings keys of its own."""
    workers: Count | None = None
    """All workers that train together, a multiple of the number of processes; a process with several simulates them.
    Left out: one a process. Where workers differ between exchanges, a run keeps the number that it began with, on any
    number of processes."""
    batchnorm: Literal["auto", "local", "sync"] = "auto"
    """Which samples BatchNorm normalises by in training: `local`, those of a worker; `sync`, those of all workers, as
    if one process trained on the whole batch (with `train.accumulate`, on one micro-batch at a time). `auto`: `sync`
    with several processes, where workers exchange gradients at every step and none is simulated. A process that
    simulates several workers computes one after another, and cannot do it."""


class EvaluateRecipe(Section):
    """`[evaluate]`: when models are evaluated, by what the best is chosen, and with which statistics."""

    every: Index = 1
    """Epochs between evaluations on the validation set; 0: only at the end."""
    best: str = "auto"
    """Metric of the validation set that the best model is chosen by, such as `macro_f1` or `loss`; `auto`: the task's
    own, which is top-1 accuracy in classification."""
    batchnorm_images: Index = 2048
    """Training images that BatchNorm's statistics are estimated from again where those of training do not fit an
    evaluation: after a stage at another image side, after an epoch on a part of the images that a method chose by
    scores, unless its guards are off, and for weights that `train.swa` averages. 0: never."""
    test: Flag = True
    """Whether the test set is measured at the end of the run. `false`: it is neither decoded nor measured, as in the
    trials of `fewer tune`; `fewer eval` can measure it later."""


def _remote(value: object) -> object:
    if isinstance(value, str) and value:
        parse_address(value)
    return value


Remote = Annotated[str, BeforeValidator(_remote)]


class OutRecipe(Section):
    """`[out]`: what is kept, and where."""

    dir: str = ""
    """Run folder; left out: `runs/NAME` after the recipe's file name."""
    checkpoint_every: Span = Duration(1, "ep")
    """Time between two checkpoints, such as `"1ep"`, `"500step"` or `"10min"`."""
    keep: Count = 3
    """Newest checkpoints that are kept."""
    keep_at: tuple[Span, ...] = ()
    """Whole epochs whose checkpoints stay for good, to branch from: `["8ep", "50%"]`."""
    plots: Flag = True
    """Curves as PNG files in `plots/`, redrawn while training goes on, and at its end."""
    previews: Flag = True
    """In `previews/`: training views of each stage, a few validation images with what is predicted of them after every
    evaluation, and thumbnails of the worst test images."""
    suspects: Flag = True
    """Of boxes and masks: annotations that the published model speaks against, in `suspects.csv` and `previews/`. It
    looks at 2,000 training images at most, those with the highest losses. Classes are suspected by `guards`."""
    tensorboard: Flag = False
    """Scalars for TensorBoard in `tensorboard/`: a mirror of `rows.jsonl` (extra `tensorboard`)."""
    remote: Remote = ""
    """`s3://BUCKET/PREFIX`: where the run folder is copied to in the background, for `fewer resume s3://BUCKET/PREFIX`
    on any machine (extra `s3`). Every run needs a prefix of its own. Credentials and server come from the environment
    or from `~/.aws`, never from a recipe. Left out: no copy."""
    remote_wait_seconds: Positive = 300.0
    """`remote`: how long the end of a run waits for its copy; one that is not complete then ends with exit code 7."""


class Recipe(Section):
    """A whole recipe. Every key has a default but `data.source` and `model.name`."""

    data: DataRecipe
    augment: AugmentRecipe = AugmentRecipe()
    model: SerializeAsAny[ModelParams]
    task: SerializeAsAny[TaskRecipe] = section_of(TaskRecipe)
    train: SerializeAsAny[TrainRecipe] = section_of(TrainRecipe)
    select: SerializeAsAny[MethodParams] = section_of(MethodParams)
    stages: tuple[StageRecipe, ...] = ()
    sync: SerializeAsAny[SyncRecipe] = section_of(SyncRecipe)
    evaluate: EvaluateRecipe = EvaluateRecipe()
    out: OutRecipe = OutRecipe()

    _notes: tuple[str, ...] = PrivateAttr(())

    @property
    def notes(self) -> tuple[str, ...]:
        """Deprecated spellings in the recipe as it was written, a sentence each."""
        return self._notes

    def with_notes(self, notes: Sequence[str]) -> Recipe:
        """The same recipe, with notes about how it was written."""
        changed = self.model_copy()
        changed._notes = tuple(notes)
        return changed

    def __eq__(self, other: object) -> bool:
        """Whether two recipes ask for the same, however they were written."""
        return isinstance(other, Recipe) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]

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
    old, new = flat(before.model_dump(mode="json")), flat(after.model_dump(mode="json"))
    return [(key, old.get(key), new.get(key)) for key in sorted({*old, *new}) if old.get(key) != new.get(key)]


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """A recipe's content as one level, with dotted keys: `{"train.epochs": 10, "stages.0.side_px": 24}`."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {prefix.rstrip("."): value}
    return {name: item for key, inner in value.items() for name, item in flat(inner, f"{prefix}{key}.").items()}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
