"""Costs of the parts of training an image, each timed alone; and of all together, by the ordinary loop.

B: samples of a batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fewer import select
from fewer.core.clock import Duration
from fewer.core.types import Request, Stage
from fewer.data.decode.cut import decode_cut
from fewer.data.decode.decode import Damaged
from fewer.data.decode.on_request import SquareReader, Squares
from fewer.data.decode.stored import Stored
from fewer.data.listing.splits import Split, Splits, spread
from fewer.data.loader import Loader
from fewer.data.pictures.file import PictureFile
from fewer.data.pictures.picture import kept
from fewer.data.pictures.sources import StoredSource
from fewer.data.stores.base import Loaded
from fewer.machine.loading import Loading
from fewer.plan.plan import Plan
from fewer.plan.stores import store_side_px
from fewer.recipe.normalize import NormalizeRecipe
from fewer.recipe.schema import Recipe, StageRecipe
from fewer.session.build import Session, open_data, open_session
from fewer.session.probe import probe
from fewer.session.split_images import images_of
from fewer.session.views import views_of
from fewer.training.loop import train

PARTS = ("decode", "copy", "augment", "collate", "step")
_SECONDS = 0.4  # of one measurement
_ROUNDS = 3  # of which the fastest counts
_SAMPLED = 64  # images whose decoding is timed
_WARM_BATCHES = 2
_EPOCHS = 1000  # of a run that ends when its time is up
_IMAGES = 4096  # that such a run is given, at least 8 batches
_LR = 1e-4  # where the rate is still to be found
_GREY = NormalizeRecipe(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))  # costs what others do, and no pass


@dataclass(frozen=True)
class Costs:
    """Seconds that an image of a stage takes.

    Attributes:
        decode: Reading, decoding and cutting, of one core.
        from_store: The same from an uncompressed store that suits the recipe.
        copy, augment, collate: Making a batch of squares, in the training process with its threads.
        step: Forward and backward, likewise; what the optimizer does is not in it.
        step_of: The same at other batch sizes.
    """

    decode: float
    from_store: float
    copy: float
    augment: float
    collate: float
    step: float
    step_of: dict[int, float]


@dataclass(frozen=True)
class Together:
    """What training showed, by the ordinary loop.

    Attributes:
        images_per_second: Of some batches, behind the first.
        waiting: Share of that time in which the training process waited for images.
    """

    images_per_second: float
    waiting: float


def costs(plan: Plan, splits: Splits, stage: Stage, seconds: float = _SECONDS) -> Costs:
    """Times the parts on a stage's own views of training images.

    Args:
        plan: The plan that would run.
        splits: Its data.
        stage: One of its stages.
        seconds: For how long each part but the step is timed.
    """
    torch.set_num_threads(plan.facts.machine.threads)
    split, views = splits.train, views_of(plan, "train")
    stored = plan.facts.data.store
    source = StoredSource(split.source, PictureFile(Path(stored.path))) if stored else split.source
    reader = SquareReader(source, views, plan.facts.data.depth)
    sound = _sound(reader, split, stage)
    few = Request.training(stage, stage.first_epoch, sound)
    out = Squares.empty(len(sound), stage.side_px)
    decode = _fastest(lambda: reader.read(few, out), len(sound), seconds)
    many = sound.repeat(-(-stage.batch_size // len(sound)))[: stage.batch_size]
    whole = Request.training(stage, stage.first_epoch, many)
    squares, _ = reader.read_here(whole)
    loaded = Loaded(whole, squares, torch.arange(len(whole.ids_B)))
    data = images_of(plan, "train", split, Loader(0))
    copied = data.copied(loaded)
    shown = data.augmented(loaded, *copied)
    size = len(whole.ids_B)
    others = (each for each in (stage.batch_size // 2, stage.batch_size * 2) if 8 <= each <= len(split))
    steps = _steps(plan, stage, [stage.batch_size, *others])
    return Costs(
        decode,
        _from_store(plan, split, stage, few, seconds),
        _fastest(lambda: data.copied(loaded), size, seconds),
        _fastest(lambda: data.augmented(loaded, *copied), size, seconds),
        _fastest(lambda: data.collated(whole, shown), size, seconds),
        steps.pop(stage.batch_size),
        steps,
    )


def _sound(reader: SquareReader, split: Split, stage: Stage) -> torch.Tensor:
    """Ids of a few images that decode, spread over the split."""
    ids = spread(split.ids_M, _SAMPLED)
    _, read = reader.read_here(Request.training(stage, stage.first_epoch, ids))
    bad = torch.tensor([image.id for image in read.damaged], dtype=torch.int64)
    good = ids[~torch.isin(ids, bad)]
    if not len(good):
        raise Damaged(f"none of {len(ids)} images tried decodes")
    return good


def _from_store(plan: Plan, split: Split, stage: Stage, request: Request, seconds: float) -> float:
    """Seconds of cutting a square out of what an uncompressed store would hold."""
    side_px, boxes = store_side_px(plan.recipe, plan.stages), views_of(plan, "train").boxes(request)
    pictures: list[Stored] = []
    for id in request.ids_B.tolist():
        made = kept(split.source.read(id), side_px, "raw", plan.facts.data.depth)
        assert not isinstance(made.payload, bytes)
        pictures.append(Stored(made.payload, made.own_width, made.own_height, False))

    def cut() -> None:
        for at, picture in enumerate(pictures):
            decode_cut(picture, boxes, at, stage.side_px)

    return _fastest(cut, len(pictures), seconds)


def _steps(plan: Plan, stage: Stage, sizes: Sequence[int]) -> dict[int, float]:
    """Seconds an image at several batch sizes, in turn, so that what else the machine does meets all of them."""
    flops = plan.facts.model.sample_flops(stage.side_px, stage.first_epoch, stage.frozen_layers).training
    found = dict.fromkeys(sizes, math.inf)
    for _ in range(_ROUNDS):
        for size in sizes:
            seconds = probe(plan, replace(stage, batch_size=size), whole=True).seconds_per_flop * flops
            found[size] = min(found[size], seconds)
    return found


def _fastest(work: Callable[[], object], images: int, seconds: float) -> float:
    """Seconds an image of the fastest round."""
    found = []
    for _ in range(_ROUNDS):
        began, times = time.perf_counter(), 0
        while not times or time.perf_counter() - began < seconds / _ROUNDS:
            work()
            times += 1
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append((time.perf_counter() - began) / times)
    return min(found) / images


def together(
    recipe: Recipe, plan: Plan, stage: Stage, loading: Loading, seconds: float, threads: int | None = None
) -> Together:
    """Trains on a part of the images for a while, from a model that is thrown away.

    Args:
        recipe: What would run.
        plan: Its plan.
        stage: Which stage's views, side and batches.
        loading: Where images come from; that of the plan, or another one.
        seconds: For how long, behind the first batches.
        threads: Of training; those of the plan if left out.
    """
    torch.set_num_threads(threads or plan.facts.machine.threads)
    short = short_recipe(recipe, plan, stage, loading)
    splits = open_data(short)
    session = open_session(short, splits)
    try:
        ledger, images, began, waited = session.run.ledger, 0, 0.0, 0.0
        for number, row in enumerate(train(session.task, session.train_data, session.run), start=1):
            now, waits = ledger.total_seconds, _waited(session)
            if number <= _WARM_BATCHES:
                began, waited = now, waits
                continue
            images += row.candidates
            if now - began >= seconds:
                break
        span = max(1e-9, now - began)
        return Together(images / span, (waits - waited) / span)
    finally:
        session.close()


def _waited(session: Session) -> float:
    """Seconds for which training has waited for images so far."""
    return float(sum(seconds["data_wait"] for seconds in session.run.ledger.seconds))


def short_recipe(recipe: Recipe, plan: Plan, stage: Stage, loading: Loading) -> Recipe:
    """A plain run of one stage on a part of the images, without evaluations; arguments as for `together`."""
    asked = recipe.stages[stage.index] if recipe.stages else StageRecipe(epochs=_EPOCHS)
    own = {
        "epochs": _EPOCHS, "side_px": stage.side_px, "batch_size": stage.batch_size, "lr_scale": 1.0, "data_share": 1.0,
        "lr_ramp": Duration(0, "ep"), "frozen_anyway": True, "keep_features": "no",
        "strength": stage.strength_at(stage.first_epoch),
    }  # fmt: skip
    train = {
        "lr": plan.lr or _LR, "epochs": _EPOCHS, "patience": "off", "compile": "no", "budget": "off",
        "warmup": Duration(0, "ep"), "batch_ramp": "off",
    }  # fmt: skip
    images = min(plan.facts.data.train_images, max(_IMAGES, 8 * stage.batch_size))
    data = {
        "subset": images, "test": "none", "val": "none", "normalize": _GREY, "processes": loading.processes,
        "in_memory": "yes" if loading.in_memory else "no",
    }  # fmt: skip
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update=data),
            "train": recipe.train.model_copy(update=train),
            "select": select.default(),
            "stages": (asked.model_copy(update=own),),
        }
    )
