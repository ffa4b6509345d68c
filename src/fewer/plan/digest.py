"""The digest of a plan: a hash of all that decides what a run learns; seed, output and paths are left out."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from fewer.data.decode.depth import FULL
from fewer.data.sources import form_of
from fewer.plan.facts import Facts
from fewer.recipe.schema import Recipe
from fewer.select.method_params import OFF, ScoredParams
from fewer.select.registry import METHODS

_MEANING = 1  # of the recipe's keys and their defaults; a change of a default, or of its meaning, raises it
_PUT = 2  # how first weights are put in: 1 left a new head as it was drawn, and normalised images by the data
_FIRST_NOISE_CAP = 0.05  # the default when the first digests were recorded: it stays where it has no effect


def digest_of(recipe: Recipe, facts: Facts, own_selector: str) -> str:
    """Sixteen hexadecimal digits.

    Keys at their default are left out, so that a version with more keys gives old recipes their old digest.
    """
    unasked: Any = {
        "out": True,
        "evaluate": True,
        "train": {"seed"},
        # The facts hold what becomes of class_level, depth, difficult, strata and store.
        "data": {"in_memory", "processes", "cache", "class_level", "depth", "difficult", "strata", "store"},
        "select": True,
    }
    content = recipe.model_dump(mode="json", exclude=unasked, exclude_defaults=True)
    for name in ("source", "test", "val"):
        content["data"][name] = form_of(getattr(recipe.data, name))
    for name in ("csv", "max_differing"):
        content["data"].get("labels", {}).pop(name, None)
    if recipe.data.val == "auto":  # once the default was called after its share
        content["data"]["val"] = "5%"
    content["model"] = _model(recipe, facts.model.weights)
    if content.get("task", {}).get("tta") == "flip":  # once a key of its own
        del content["task"]["tta"]
        content["task"]["flip_tta"] = True
    content["select"] = own_selector or _selection(recipe, facts)
    content |= _evaluation(recipe, own_selector)
    data = facts.data
    content["facts"] = [data.train_images, data.val_images, data.test_images, data.classes, data.native_side_px]
    if data.depth != FULL:  # what an older version read with all 16 bits keeps its digest
        content["facts"].append(data.depth)
    if data.aspect is not None:
        content["facts"].append({"aspect": data.aspect})
    if data.difficult != "use":  # as it was before there was a choice
        content["facts"].append({"difficult": data.difficult})
    if data.by_masks:  # once by chance
        content["facts"].append({"strata": "masks"})
    if data.store and data.store.changes:
        content["facts"].append([data.store.side_px, data.store.form])
    text = json.dumps([_MEANING, content], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _model(recipe: Recipe, weights: str) -> dict[str, Any]:
    """The `[model]` section, in which a hash of the first weights stands for their path."""
    content = recipe.model.model_dump(mode="json", exclude={"weights"}, exclude_defaults=True)
    return {**content, "name": recipe.model.name, **({"weights": weights, "put": _PUT} if weights else {})}


def _selection(recipe: Recipe, facts: Facts) -> dict[str, Any]:
    """The `[select]` section, in which a hash of the reference model stands for its path."""
    chosen = recipe.select
    content = chosen.model_dump(mode="json", exclude_defaults=True)
    if isinstance(chosen, ScoredParams):
        images = 0 if chosen.guards == OFF else recipe.evaluate.batchnorm_images  # once a key of guards
        content["guards"] = {**chosen.guards.model_dump(mode="json"), "batchnorm_images": images}
        if chosen.guards.noise_cap == "auto" and not chosen.favours_hard:
            content["guards"]["noise_cap"] = _FIRST_NOISE_CAP
        content.pop("refresh_every", None)
        if chosen.refreshes != chosen.recorded_refresh:
            content["refresh_every"] = chosen.refreshes
    if "reference" in content:
        content["reference"] = facts.preparation.weights if facts.preparation else ""
    return {**content, "method": METHODS.recorded(recipe.select.method)}


def _evaluation(recipe: Recipe, own_selector: str) -> dict[str, Any]:
    """The keys of `[evaluate]` that decide what is published; those that guards once had stay with these."""
    evaluate, has_guards = recipe.evaluate, not own_selector and isinstance(recipe.select, ScoredParams)
    found: dict[str, Any] = {"best": evaluate.best} if evaluate.best != "auto" else {}
    if not has_guards and evaluate.batchnorm_images != type(evaluate).model_fields["batchnorm_images"].default:
        found["batchnorm_images"] = evaluate.batchnorm_images
    return {"evaluate": found} if found else {}
