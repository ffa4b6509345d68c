"""Statistics of a run's selection: numbers of every class, whether scoring pays, and what a method has become."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from fewer.core.abilities import PicksMethod
from fewer.core.errors import printable
from fewer.select.method_params import REFRESHED, ScoredParams
from fewer.session.build import Session

if TYPE_CHECKING:
    from torch import Tensor

_NAMED = 3  # classes that a warning names
_PROBE = 0.1  # share of the images: looking at so few to decide what to do is not complained of
_STARVED_EPOCHS, _STARVED_SHARE = 3, 0.05  # so many in a row on no more than the class floor, or this share


def selection_stats(session: Session, epoch: int) -> dict[str, Any]:
    """What selection did in an epoch, class by class, and the numbers that the selector has to tell; often nothing.

    Kept shares and difficulties (1 - mean score) are recorded for every method; methods add others themselves.
    """
    run, label_N = session.run, session.splits.train.label_N
    label_M, classes = label_N[run.selection.pool_ids], len(session.splits.classes)
    kept_M = run.selection.table.column("trained", "epoch")[run.selection.pool_ids] == epoch
    recorded: dict[str, Any] = {}
    if counts := run.selection.selector.counts():
        recorded["counts"] = counts
    series = _series(run.selection.selector.series(run.selection.table), classes)
    if not kept_M.all() or series:
        present_C = torch.bincount(label_M, minlength=classes)
        images_C = present_C.clamp(min=1)
        score_M = run.selection.table.score_N[run.selection.pool_ids].nan_to_num(0.0).double()
        score_C = torch.zeros(classes, dtype=torch.float64).index_add_(0, label_M, score_M) / images_C
        kept_C = torch.bincount(label_M[kept_M], minlength=classes) / images_C
        own = {"kept_share_per_class": kept_C.tolist(), "difficulty_per_class": (1 - score_C).tolist()}
        recorded["series"] = {**own, **series}
        if lost := int(((kept_C == 0) & (present_C > 0)).sum()):
            recorded["counts"] = {**counts, "classes_left_out": lost}
    return recorded


def _series(found: Mapping[str, Tensor], classes: int) -> dict[str, list[float]]:
    """A selector's own series; what it tells of groups that are no classes must not be read as numbers of classes."""
    return {
        name if len(values) == classes else name.replace("_per_class", "_per_group"): values.tolist()
        for name, values in found.items()
    }


def complaints(session: Session, line: dict[str, Any], kept_share_E: Sequence[float]) -> dict[str, str]:
    """Warnings to the user after an epoch, by kind.

    Args:
        session: The run.
        line: The epoch's row, with the numbers of selection.
        kept_share_E: The share of the images that each of the epochs so far was trained on.
    """
    plan, images = session.plan, session.plan.facts.data.train_images
    kept_share_E = [share * images / plan.shown_images(epoch) for epoch, share in enumerate(kept_share_E)]
    found = {
        "scoring": loss_of_scoring(session, kept_share_E),
        "classes": lost_classes(session, line),
        "starved": starved(session, kept_share_E),
    }
    return {kind: text for kind, text in found.items() if text}


def lost_classes(session: Session, line: dict[str, Any]) -> str:
    """Says that an epoch held no image of some class, or nothing."""
    if not line.get("counts", {}).get("classes_left_out"):
        return ""
    kept_C, classes = line["series"]["kept_share_per_class"], session.splits.classes
    images_C = session.splits.train.class_images()
    lost = [name for name, kept, images in zip(classes, kept_C, images_C, strict=True) if kept == 0 and images]
    names = ", ".join(f'"{name}"' for name in lost[:_NAMED]) + (", ..." if len(lost) > _NAMED else "")
    text = f"epoch {line['epoch'] + 1} trained on no image of {len(lost)} of the {len(classes)} classes: {names}"
    return f"{text}; keep more, or use a method with select.guards.class_floor"


def starved(session: Session, kept_share_E: Sequence[float]) -> str:
    """Says that a threshold has left next to nothing but the class floor for some epochs; else nothing.

    Arguments as for `loss_of_scoring`.
    """
    chosen, last = session.plan.recipe.select, kept_share_E[-_STARVED_EPOCHS:]
    if session.plan.own_selector or not isinstance(chosen, ScoredParams) or chosen.cost is not None:
        return ""  # a stated cost decides how much is left out
    images_C = torch.tensor(session.splits.train.class_images())
    floor_C = (images_C * chosen.guards.class_floor).ceil().clamp(min=2).minimum(images_C)
    floor = float(floor_C.sum() / images_C.sum()) if chosen.guards.class_floor else 0.0
    limit = max(_STARVED_SHARE, 1.1 * floor)
    if "threshold" not in type(chosen).model_fields or len(last) < _STARVED_EPOCHS or max(last) > limit:
        return ""
    epoch = len(kept_share_E) - 1
    looks_again = chosen.refreshes or session.run.selection.selector.expected(session.plan.at(epoch)).scored
    cause, cure = "nearly everything is above the threshold", "raise select.threshold, or train for fewer epochs"
    if not looks_again:
        cause, cure = "what is left out is never looked at again", f"set select.refresh_every = {REFRESHED}, or {cure}"
    return (
        f"epochs {epoch + 2 - _STARVED_EPOCHS} to {epoch + 1} trained on {max(last):.0%} of the images or less, hardly "
        f"more than the class floor: {cause}; {cure}"
    )


def loss_of_scoring(session: Session, kept_share_E: Sequence[float]) -> str:
    """Says that scoring, before an epoch or in its batches, has cost more than selection saved by it; else nothing.

    A forward costs a third of a step, or less for smaller images: with so little left out, plain training is cheaper.
    What is looked at for several epochs must pay in all of them together.

    Args:
        session: The run.
        kept_share_E: The share of the images that each of the epochs so far was trained on.
    """
    plan, selector = session.plan, session.run.selection.selector
    chosen = plan.recipe.select
    if plan.own_selector or not isinstance(chosen, ScoredParams) or not chosen.guards.break_even:
        return ""
    epoch = len(kept_share_E) - 1
    looked = max((e for e in range(epoch + 1) if selector.expected(plan.at(e)).scored), default=None)
    if looked is None or (epoch + 1 < plan.epochs and not selector.expected(plan.at(epoch + 1)).scored):
        return ""  # nothing was looked at, or it serves the next epoch, too
    selection = session.run.selection
    scored_M = selection.table.column("scored", "epoch")[selection.shown(looked)] == looked
    scored_share = float(scored_M.double().mean())
    flops, used = plan.sample_flops(looked), epoch + 1 - looked
    kept_share = sum(kept_share_E[looked:]) / used
    limit = 1 - scored_share * plan.scoring_flops(looked) / (flops.forward + flops.backward) / used
    if kept_share <= limit or scored_share <= _PROBE:
        return ""
    return (
        f"this scoring costs more than it saves: kept share {kept_share:.2f} > {limit:.2f} in epoch {looked + 1}"
        f"{f' to {epoch + 1}' if used > 1 else ''}; keep less, or look for nothing: "
        'select.score = "stale", where the method has it, costs nothing'
    )


def became(session: Session) -> dict[str, Any]:
    """What a method that picks another one has picked, as `PicksMethod.became` says; else nothing."""
    selector = session.run.selection.selector
    return selector.became() if isinstance(selector, PicksMethod) else {}


def in_toml(became: Mapping[str, Any]) -> str:
    """What a method has become, as comments of a recipe, which loads as it would without them."""
    if not became:
        return ""
    keys = "".join(f"\n{key} = {_inline(value)}" for key, value in became["select"].items())
    text = f"From epoch {became['epoch'] + 1} on, [select] is: {became['reason']}\n[select]{keys}"
    return "\n" + "".join(f"# {printable(line)}\n" for line in text.splitlines())


def _inline(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_inline(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)
