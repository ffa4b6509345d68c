"""What a plan must know of data, model and machine, found out without training."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from fewer.core.protocols import ChangesByEpoch
from fewer.core.types import first
from fewer.machine.device import usable_cores
from fewer.machine.memory import available_bytes
from fewer.models import dry_run
from fewer.models.batchnorm import has_batchnorm
from fewer.plan.plan import Facts, Flops, stages_of
from fewer.recipe.schema import Recipe

if TYPE_CHECKING:
    from torch import nn

    from fewer.data.listing.splits import Splits
    from fewer.models.pretrained import Weights


DTYPES = {"fp32": torch.float32, "bf16": torch.float32, "fp16": torch.float32, "fp64": torch.float64}
_SMALL_PX, _COARSE = 64, 4  # where a stem that divides the side by so much deserves a word


def gather_facts(
    recipe: Recipe,
    splits: Splits,
    ranks: int = 1,
    weights: Weights | None = None,
    available: int | None = None,
    scoring_side_px: int | None = None,
) -> Facts:
    """Facts for `compile_plan`.

    Args:
        recipe: What the user asked; it says which model and which sides to count FLOPs for.
        splits: The listed data.
        ranks: Processes that will train together; each gets its share of the cores.
        weights: The model's first weights, unless they are random.
        available: Free memory in bytes, where it was looked at before; else it is now.
        scoring_side_px: Image side that the selector scores at, where it is not that of training.
    """
    native = splits.train.native_side_px()
    stages = stages_of(recipe, native)
    sides = sorted({stage.side_px for stage in stages})
    looked_at = sorted({*sides, scoring_side_px or sides[0]})
    device = device_kind()
    facts = Facts(
        train_images=len(splits.train),
        val_images=len(splits.val) if splits.val else 0,
        test_images=len(splits.test) if splits.test else 0,
        classes=tuple(splits.classes),
        class_images=tuple(splits.train.class_images()),
        native_side_px=native,
        scoring_side_px=scoring_side_px,
        flops={},
        plain_sample_flops=0,
        parameters=0,
        ranks=ranks,
        threads=max(1, torch.get_num_threads() if ranks == 1 else usable_cores() // ranks),
        cores=usable_cores(),
        available_bytes=available_bytes() if available is None else available,
        bf16=native_bf16(device),
        device=device,
        notes=tuple(splits.notes),
    )
    try:
        model = dry_run.take(recipe.model, len(splits.classes), looked_at)
    except ValueError as error:
        return replace(facts, problems=(f'model.name = "{recipe.model.name}": {error}',))
    later = model.changes_at if isinstance(model, ChangesByEpoch) else []
    changes = [0, *(epoch for epoch in later if 0 < epoch < recipe.epochs)]
    return replace(
        facts,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        notes=facts.notes + _notes(recipe, model, len(splits.classes), sides, weights),
        weights=weights.sha256 if weights else "",
        moments=weights.moments if weights else None,
        batchnorm=has_batchnorm(model),
        flops={side: tuple(_flops_from(model, side, epoch) for epoch in changes) for side in looked_at},
        plain_sample_flops=sum(_unfrozen_flops(model, sides[-1])),
    )


def _notes(
    recipe: Recipe, model: nn.Module, classes: int, sides: list[int], weights: Weights | None
) -> tuple[str, ...]:
    """What a person should know of the model: a stem that leaves little of a small image, and which weights fit."""
    notes, name, least = [], recipe.model.name, sides[0]
    divided = dry_run.reduction(model, least)
    if least <= _SMALL_PX and divided >= _COARSE and getattr(recipe.model, "stem", "") == "own":
        notes.append(
            f'the first layers of "{name}" leave {math.ceil(least / divided)} px of images of {least} px; '
            'model.stem = "small" keeps more'
        )
    if weights:
        found = weights.fitted(recipe.model, model, classes)
        notes.append(f"first weights from {weights.origin}: {found.describe()}")
        if recipe.data.normalize == "auto" and weights.moments:
            notes.append("images are normalised by the mean and standard deviation that the first weights come with")
    return tuple(notes)


def device_kind() -> str:
    """The kind of device that training uses: "cuda" where there is one, else "cpu"."""
    if torch.cuda.is_available():  # untested: needs a GPU
        return "cuda"
    return "cpu"  # also on Macs: their MPS has no float64, in which losses, scores and views' maps are kept


def native_bf16(device: str) -> bool:
    """Whether the device multiplies bfloat16 in hardware; emulation is slower than float32."""
    if device == "cuda":  # untested: needs a GPU
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)
    return False


def sample_flops(model: nn.Module, side_px: int) -> tuple[int, int]:
    """FLOPs of one sample's forward and backward, counted by torch on a batch of two (BatchNorm needs two).

    Args:
        model: A model on any device; on "meta" nothing is computed.
        side_px: Height and width of the image.
    """
    device = next(model.parameters()).device
    dtype = next(model.parameters()).dtype
    images = torch.empty(2, 3, side_px, side_px, device=device, dtype=dtype)
    with FlopCounterMode(display=False) as forward:
        loss = first(model(images)).sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    for parameter in model.parameters():
        parameter.grad = None
    return forward.get_total_flops() // 2, backward.get_total_flops() // 2


def _flops_from(model: nn.Module, side_px: int, epoch: int) -> Flops:
    if isinstance(model, ChangesByEpoch):
        model.prepare(epoch)
    return Flops(epoch, *sample_flops(model, side_px))


def _unfrozen_flops(model: nn.Module, side_px: int) -> tuple[int, int]:
    model.requires_grad_(True)
    return sample_flops(model, side_px)
