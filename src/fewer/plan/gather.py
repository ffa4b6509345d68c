"""Gathering of facts about listed data, the recipe's model and this machine, without training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from fewer.data.annotations.mask_values import MaskError
from fewer.data.depth import depth_of
from fewer.data.listing.difficult import handled
from fewer.data.listing.splits import spread
from fewer.machine.device import device_kind, usable_cores
from fewer.machine.memory import available_bytes
from fewer.machine.precision import native_bf16
from fewer.plan.facts import DataFacts, Facts, MachineFacts
from fewer.plan.model_facts import model_facts
from fewer.plan.stages import stages_of
from fewer.plan.stores import store_of
from fewer.recipe.schema import Recipe

if TYPE_CHECKING:
    from fewer.data.decode.depth import Depth
    from fewer.data.listing.splits import Split, Splits
    from fewer.models.pretrained import Weights

_MASKS = 256  # whose pixels are counted


def gather_facts(
    recipe: Recipe,
    splits: Splits,
    processes: int = 1,
    weights: Weights | None = None,
    available: int | None = None,
    scoring_side_px: int | None = None,
) -> Facts:
    """Facts for `compile_plan`.

    Args:
        recipe: What the user asked; it names the model and the sides to count FLOPs for.
        splits: The listed data.
        processes: Processes that will train together; each gets its share of the cores.
        weights: The model's first weights, unless they are random.
        available: Free memory in bytes, where it was looked at before; else it is now.
        scoring_side_px: Image side that the selector scores at, where it is not that of training.
    """
    data = data_facts(splits, recipe.data.depth)
    if data.annotations == "masks" and getattr(recipe.task, "class_weights", "none") != "none":
        data = replace(data, class_pixels=_class_pixels(splits.train, recipe.data.damaged == "quarantine"))
    store, notes = store_of(recipe, splits.train.source, stages_of(recipe, data.native_side_px), data.depth)
    data = replace(data, store=store, notes=(*data.notes, *notes))
    if not recipe.evaluate.test:
        data = replace(data, test_images=0)
    model = model_facts(recipe, data, weights, scoring_side_px)
    return Facts(data, model, machine_facts(processes, available))


def data_facts(splits: Splits, asked_depth: Depth = "auto") -> DataFacts:
    """Facts of listed data, which are read by the depth that a recipe asks for."""
    depth, depth_notes = depth_of(splits.train.source, asked_depth)
    train, is_whole = splits.train, splits.train.source.annotations != "classes"
    of_all = [handled(each.source, each.ids_M.numpy()) for each in (train, splits.val, splits.test) if each]
    longer_px, aspect = train.native_frame() if is_whole else (0, 1.0)
    return DataFacts(
        train_images=len(splits.train),
        val_images=len(splits.val) if splits.val else 0,
        test_images=len(splits.test) if splits.test else 0,
        classes=tuple(splits.classes),
        native_side_px=longer_px or train.native_side_px(),
        class_images=tuple(train.class_images()),
        class_objects=tuple(train.class_objects()),
        depth=depth,
        aspect=round(aspect, 4) if is_whole else None,
        annotations=train.source.annotations,
        notes=(*splits.notes, *depth_notes),
        difficult=next((each for each in of_all if each != "use"), "use"),
        by_masks=splits.by_masks,
    )


def _class_pixels(train: Split, quarantines: bool) -> tuple[int, ...]:
    """Pixels of every class in some training masks, spread evenly over all; unusable ones may be left out."""
    count_V = torch.zeros(256, dtype=torch.int64)
    for id in spread(train.ids_M, _MASKS).tolist():
        try:
            mask_HW = train.source.read_mask(id)
        except MaskError:
            if not quarantines:
                raise
            continue
        count_V += torch.bincount(torch.from_numpy(mask_HW).flatten().long(), minlength=256)
    return tuple(count_V[: len(train.classes)].tolist())


def machine_facts(processes: int, available: int | None = None) -> MachineFacts:
    """Facts of this machine, for so many processes; `available` is its free memory in bytes, where known already."""
    device, cores = device_kind(), usable_cores()
    return MachineFacts(
        processes=processes,
        threads=max(1, torch.get_num_threads() if processes == 1 else cores // processes),
        cores=cores,
        available_bytes=available_bytes() if available is None else available,
        bf16=native_bf16(device),
        device=device,
    )
