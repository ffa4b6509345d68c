"""The composition root: from a recipe to data, task and run."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from fewer import models, optim, tasks
from fewer.core import rng
from fewer.core.abilities import LooksAtData
from fewer.core.errors import DataError
from fewer.core.ledger import Ledger
from fewer.core.metadata import TaskSetting
from fewer.core.protocols import Comm, Selector, Sync, Task
from fewer.core.ragged import dense
from fewer.core.types import Request, Worker
from fewer.data.annotations.labels import LabelFile
from fewer.data.images import ImageData, Moments
from fewer.data.listing.splits import Split, Splits, open_splits, spread
from fewer.data.listing.subsample import LongTail
from fewer.data.loader import Loader
from fewer.machine.precision import autocast_dtype, weights_dtype
from fewer.models.blocks import ends, rate_factors
from fewer.models.matching import heads
from fewer.models.pretrained import read_weights
from fewer.optim.average import Setting
from fewer.optim.groups import parameter_groups
from fewer.plan.compile import compile_plan
from fewer.plan.cost_model import MOMENTS_IMAGES
from fewer.plan.gather import gather_facts
from fewer.plan.plan import Plan
from fewer.plan.spending import fitted
from fewer.plan.stages import data_shares
from fewer.recipe.normalize import NormalizeRecipe
from fewer.recipe.schema import Recipe
from fewer.select.data_share import DataShare
from fewer.select.epoch import EpochSelection
from fewer.select.method_params import ScoredParams
from fewer.session import proxy_plan, reference_models
from fewer.session.agreement import refuse_other_starts
from fewer.session.batch_size import sized
from fewer.session.selector import columns_of, selector_of
from fewer.session.split_images import images_of
from fewer.sync.batchnorm import share_statistics
from fewer.sync.comm import SingleProcess
from fewer.sync.methods import SYNC_METHODS
from fewer.training.compile import Compiler
from fewer.training.run import Changes, Run

if TYPE_CHECKING:
    from fewer.data.decode.on_request import DamagedImage

IMAGENET: Moments = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass
class Session:
    """What a plan needs in order to run."""

    splits: Splits
    task: Task
    run: Run
    train_data: ImageData
    val_data: ImageData | None
    test_data: ImageData | None
    damaged: list[tuple[str, DamagedImage]]
    loader: Loader | None = None
    copy_lag: str = ""
    _decoded: tuple[int, int] = (0, 0)

    @property
    def plan(self) -> Plan:
        """The run's plan, which is shorter from the moment at which its patience is out."""
        return self.run.plan

    def book_decoding(self) -> None:
        """Books what has been decoded since the last call."""
        parts = [part.counts for part in (self.train_data, self.val_data, self.test_data) if part]
        images, pixels = sum(c.decoded for c in parts), sum(c.decoded_pixels for c in parts)
        ledger = self.run.ledger
        ledger.book(ledger.stage, samples_decoded=images - self._decoded[0], decoded_pixels=pixels - self._decoded[1])
        self._decoded = images, pixels

    def close(self) -> None:
        """Ends the loader processes."""
        if self.loader:
            self.loader.close()


def open_data(recipe: Recipe) -> Splits:
    """Lists the images of a recipe's sources; decodes none."""
    data = recipe.data
    labels = LabelFile(**data.labels.model_dump()) if data.labels else None
    tail = LongTail(**data.long_tail.model_dump()) if data.long_tail else None
    return open_splits(
        data.source,
        data.test,
        data.val,
        split_seed=data.split_seed,
        cache=data.cache == "auto",
        labels=labels,
        part=data.subset,
        tail=tail,
        opens=data.opened,
        strata=data.strata,
    )


def make_plan(
    recipe: Recipe, splits: Splits, processes: int = 1, selector: Selector | None = None, available: int | None = None
) -> Plan:
    """Compiles a recipe for listed data, with its own selector or one of the caller's; fits it to the machine."""
    name = type(selector).__qualname__ if selector else ""

    def plan_of(recipe: Recipe) -> Plan:
        chooses = selector or selector_of(recipe, splits)
        columns_of(chooses, lambda: tasks.module(recipe.task.name).plain(splits.classes), _method(recipe, name))
        facts = gather_facts(recipe, splits, processes, read_weights(recipe.model), available, chooses.scoring_side_px)
        if selector is None:
            before = reference_models.price(recipe, facts) or proxy_plan.price(recipe, facts)
            facts = replace(facts, preparation=before)
        return compile_plan(recipe, facts, chooses.expected, name, chooses.packs)

    return fitted(sized(recipe, plan_of, processes), plan_of)


def open_session(
    recipe: Recipe,
    splits: Splits,
    comm: Comm | None = None,
    selector: Selector | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    plan: Plan | None = None,
) -> Session:
    """Decodes the images and builds task, model and run, ready for the first batch.

    Args:
        recipe: What the user asked.
        splits: The listed data.
        comm: How processes exchange tensors; one process alone if left out.
        selector: A selector of the caller's own, in place of the recipe's.
        on_progress: Called with images decoded and images to decode.
        plan: The recipe's plan for this data, selector and number of ranks, where it is compiled already.

    Raises:
        DataError: Images are damaged, and the recipe's policy is to stop.
        RecipeError: The recipe does not fit the data.
    """
    comm, began = comm or SingleProcess(), time.monotonic()
    plan = plan or make_plan(recipe, splits, comm.world_size, selector)
    torch.set_num_threads(plan.facts.machine.threads)
    plan.device_settings.apply(plan.facts.machine.device)
    loading = plan.loading
    loader = None if loading.in_memory else Loader(loading.processes, loading.prefetched_batches, loading.threads)
    try:
        return _opened(plan, splits, comm, selector, loader, on_progress, began)
    except BaseException:
        if loader:
            loader.close()
        raise


def _opened(
    plan: Plan,
    splits: Splits,
    comm: Comm,
    selector: Selector | None,
    loader: Loader | None,
    on_progress: Callable[[int, int], None] | None,
    began: float,
) -> Session:
    recipe = plan.recipe
    named = [(name, split) for name, split in _named(splits) if name != "test" or recipe.evaluate.test]
    data = {name: images_of(plan, name, split, loader, on_progress) for name, split in named}
    damaged = [(name, image) for name, part in data.items() for image in part.prepare(_side(plan, name))]
    if damaged:
        splits, data = _without(splits, data, {name: _side(plan, name) for name in data})
        plan = make_plan(recipe, splits, comm.world_size, selector, plan.facts.machine.available_bytes)
    mean, std = _moments(plan, data["train"])
    for part in data.values():
        part.mean, part.std = mean, std
    run = open_run(plan, splits, data["train"], comm, selector or selector_of(recipe, splits), began)
    return Session(splits, task_of(plan), run, data["train"], data.get("val"), data.get("test"), damaged, loader)


def _moments(plan: Plan, data: ImageData) -> Moments:
    """What images are normalised by: given numbers, the first weights' own, ImageNet's, or the data's."""
    asked = plan.recipe.data.normalize
    if isinstance(asked, NormalizeRecipe):
        return asked.mean, asked.std
    if asked == "imagenet":
        return IMAGENET
    if asked == "auto" and plan.facts.model.moments:
        return plan.facts.model.moments
    return data.moments(plan.stages[0].side_px, MOMENTS_IMAGES)


def _named(splits: Splits) -> list[tuple[str, Split]]:
    return [(name, split) for name in ("train", "val", "test") if (split := getattr(splits, name)) is not None]


def _side(plan: Plan, name: str) -> int:
    sides = {"train": plan.stages[0].side_px, "val": plan.stages[0].evaluation_side_px}
    return sides.get(name, plan.evaluation_side_px)


def _without(splits: Splits, data: dict[str, ImageData], sides: dict[str, int]) -> tuple[Splits, dict[str, ImageData]]:
    """The splits and their data less the images that could not be decoded."""
    changed = {}
    for name, part in data.items():
        bad = torch.tensor([image.id for image in part.prepare(sides[name])], dtype=torch.int64)
        changed[name] = part.split = part.split.without(bad)
        if not len(changed[name]):
            raise DataError(f"{part.split.source.name}: none of its {name} images can be decoded; give other images")
    test = changed.get("test", splits.test)
    return replace(splits, train=changed["train"], val=changed.get("val"), test=test), data


def _method(recipe: Recipe, own_selector: str) -> str:
    """What messages call the method, or a selector of the caller's own."""
    return own_selector or f'select.method = "{recipe.select.method}"'


def task_of(plan: Plan) -> Task:
    """The recipe's task, for the plan's classes."""
    data, recipe = plan.facts.data, plan.recipe
    setting = TaskSetting(
        classes=tuple(data.classes),
        images_C=tuple(data.class_images),
        label_smoothing=recipe.train.label_smoothing,
        logit_scale=recipe.model.logit_scale_of_head,
        autocast=autocast_dtype(plan.precision),
        aspect=data.aspect or 1.0,
        pixels_C=data.class_pixels,
    )
    task: Task = tasks.module(recipe.task.name).build(recipe.task, setting)
    return task


def build_model(plan: Plan, images: Callable[[int], torch.Tensor] | None = None) -> torch.nn.Module:
    """The recipe's model with its first weights, the same on every rank.

    Args:
        plan: The plan.
        images: Gives the first so many normalised training images, for models that look at them.
    """
    recipe = plan.recipe
    rng.reseed(recipe.train.seed, "model")
    options, classes = recipe.model.model_dump(exclude={"name"}), len(plan.facts.data.classes)
    model = models.build(recipe.model.name, classes, plan.largest_side_px, **options)
    if recipe.model.first_images and images is not None and isinstance(model, LooksAtData):
        model.whiten(images(recipe.model.first_images))
    if weights := read_weights(recipe.model):
        weights.put_into(recipe.model, model, classes)
    layout = torch.channels_last if plan.channels_last else torch.contiguous_format
    return model.to(torch.device(plan.facts.machine.device), weights_dtype(plan.precision)).to(memory_format=layout)


def build_optimizer(plan: Plan, model: torch.nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimizer for a model, with decay and learning rate by kind of parameter, and for the last layer."""
    train, head = plan.recipe.train, heads(model, len(plan.facts.data.classes))
    decay = {"weight": train.weight_decay, "bias": train.bias_weight_decay, "norm": train.norm_weight_decay}
    scale = {"bias": train.bias_lr_scale, "norm": train.norm_lr_scale}
    decay["embedding"] = train.embedding_weight_decay
    lr = 1.0 if plan.lr is None else plan.lr  # of a rate that is still to be found, the factors are known already
    by_layer, by_parameter = dict.fromkeys(head, train.head_lr_scale), _factors_by_depth(plan, model)
    both_ends = ends(model, len(plan.facts.data.classes))
    return optim.build_optimizer(train, parameter_groups(model, lr, decay, scale, by_layer, by_parameter, both_ends))


def _factors_by_depth(plan: Plan, model: torch.nn.Module) -> dict[str, float]:
    """The factor on each parameter's learning rate, by its block; none where all learn alike."""
    decay, facts = plan.recipe.train.layer_lr_decay, plan.facts
    return {} if decay == 1 else rate_factors(model, facts.model.layers, len(facts.data.classes), decay)


def _compiler(plan: Plan, ledger: Ledger, amendments: dict[str, dict[str, str]]) -> Compiler | None:
    """What compiles the training forward, where asked; a failure is an amendment of the plan."""
    asked = plan.recipe.train.compile
    if asked == "no":
        return None

    def amend(reason: str) -> None:
        amendments["train.compile"] = {"old": asked, "new": "no", "reason": reason}

    return Compiler(asked == "require", plan.channels_last, lambda: ledger.phase("compile"), amend)


def open_run(plan: Plan, splits: Splits, data: ImageData, comm: Comm, selector: Selector, began: float) -> Run:
    """What changes in a run, ready for the first batch.

    Args:
        plan: The plan.
        splits: Its training images, which may be a part of those in `data`.
        data: Images, normalised already.
        comm: How processes exchange tensors.
        selector: Which images count.
        began: `time.monotonic()` at which the ledger's seconds begin.
    """
    train, pool_ids = plan.recipe.train, splits.train.ids_M
    ledger = Ledger(len(plan.stages), plan.facts.data.train_images, plan.plain_epoch_flops, since=began)

    def first_images(count: int) -> torch.Tensor:
        request = Request.evaluation(plan.stages[0].side_px, 0, spread(pool_ids, count))
        ledger.book(0, samples_loaded=len(request.ids_B))
        return dense(next(iter(data.batches([request]))).inputs)

    model = build_model(plan, first_images)
    sync: Sync = SYNC_METHODS.module(plan.recipe.sync.method).build(plan.recipe.sync, comm, plan.recipe.sync.workers)
    comm.machines = sync.workers  # first: simulated ones would send each other the weights, too
    comm.broadcast(list(model.state_dict().values()))
    models = [model, *(copy.deepcopy(model) for _ in sync.local_ids[1:])]
    if plan.shares_statistics:
        share_statistics(model, comm, is_compiled=train.compile != "no")
    amendments: dict[str, dict[str, str]] = {}
    setting = Setting(plan.epochs, plan.facts.data.train_images, plan.lr_share)
    columns = columns_of(selector, lambda: task_of(plan), _method(plan.recipe, plan.own_selector))
    select, size, data_seed = plan.recipe.select, len(splits.train.source), train.seed_of_data
    averages = not plan.own_selector and isinstance(select, ScoredParams) and select.averages_batches
    run = Run(
        plan=plan,
        comm=comm,
        workers=[_worker(plan, id, each) for id, each in zip(sync.local_ids, models, strict=True)],
        sync=sync,
        selection=EpochSelection(selector, pool_ids, size, data_seed, _shares(plan, splits), columns, averages),
        ledger=ledger,
        averages=optim.build_averages(train, model, setting),
        compiler=_compiler(plan, ledger, amendments),
        changes=Changes(amendments),
    )
    refuse_other_starts(run)
    return run


def _shares(plan: Plan, splits: Splits) -> DataShare | None:
    """Which training images each epoch shows; None where all show all."""
    train, share_E = splits.train, data_shares(plan.stages)
    if all(share == 1 for share in share_E):
        return None
    return DataShare(train.ids_M, train.label_N[train.ids_M], share_E, plan.recipe.train.seed_of_data)


def _worker(plan: Plan, id: int, model: torch.nn.Module) -> Worker:
    scaler = torch.amp.GradScaler(plan.facts.machine.device, enabled=plan.precision == "fp16")
    return Worker(id, model, build_optimizer(plan, model), scaler)
