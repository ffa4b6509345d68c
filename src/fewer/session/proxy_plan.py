"""The plan of a proxy: the small net that chooses the images of a run (`select.method = "proxy"`), and its price."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fewer.core import rng
from fewer.core.errors import RecipeError
from fewer.models.pretrained import read_weights
from fewer.plan.compile import compile_plan
from fewer.plan.facts import Facts, Preparation
from fewer.plan.lr_finder import finds_lr
from fewer.plan.model_facts import model_facts
from fewer.plan.plan import Plan
from fewer.recipe.parse import foreign_keys, parse_recipe
from fewer.recipe.schema import Recipe
from fewer.select.methods.proxy import NOT_ITS_OWN, Filter, Params, up_to

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_NARROWER = 4  # how much narrower than the net a proxy is by itself
_DEAR = 0.1  # of the net's cost; dearer proxies hardly pay (Yin and Rush, ICLR 2025: five to ten times smaller)
_PLAIN_STAGE = ("frozen", "frozen_anyway", "keep_features", "mix")
_UNMIXED = ("mixup_alpha", "cutmix_alpha", "mosaic", "copy_paste", "mix_share", "mix_until", "cutmix_share")


def price(recipe: Recipe, facts: Facts) -> Preparation | None:
    """What a proxy will cost; None where the recipe's method needs none.

    Raises:
        RecipeError: `select.proxy` describes no proxy for this run.
    """
    if facts.model.problems or not recipe.select.needs_proxy:
        return None
    params = params_of(recipe)
    plan = proxy_plan(recipe, facts)
    share = params.share if params.cost is None else params.cost  # of a cost, the share is less than that
    counts, sides = _counts(plan, share, params.proxy_every)
    part = plan.facts.model.plain_sample_flops / facts.model.plain_sample_flops
    costs = {key: (value if params.cost is None else 0, value) for key, value in counts.items()}
    costs["samples_loaded"] = costs["samples_loaded"][0], _most_loaded(plan, counts)
    by = f'"{plan.recipe.model.name}" of {part:.1%} of the operations'.replace("%", " %")
    if part > _DEAR:
        by += ", of which a tenth or less pays best"
    return Preparation(sides, costs, name="the choices of a proxy", by=by, cheaper="give select.proxy a smaller net")


def proxy_plan(recipe: Recipe, facts: Facts) -> Plan:
    """The plan of a run's proxy: all epochs and images of the run, chosen from in every batch.

    Args:
        recipe: The run's recipe; a learning rate that is still to be found stands as 1, for a price.
        facts: The run's facts.

    Raises:
        RecipeError: As for `price`.
    """
    asked, params = proxy_recipe(recipe), params_of(recipe)
    data = replace(facts.data, val_images=0, test_images=0, notes=())
    model = model_facts(asked, data, read_weights(asked.model), None)
    chooser = filter_of(recipe, facts.data.train_images, params.share)
    try:
        return compile_plan(asked, Facts(data, replace(model, notes=()), facts.machine), chooser.expected, "its proxy")
    except RecipeError as error:
        raise RecipeError([f"select.proxy: {problem}" for problem in error.problems]) from None


def proxy_recipe(recipe: Recipe) -> Recipe:
    """The recipe of a run's proxy: that of the run, with `select.proxy` and without what its net alone can have.

    Raises:
        RecipeError: As for `price`.
    """
    asked = params_of(recipe).proxy
    if any(stage.ramp != "off" for stage in recipe.stages):
        raise RecipeError(
            'select.method = "proxy": a ramp draws a side for each batch, and the batches of the proxy are not those '
            "of the run; give each of the [[stages]] one side_px"
        )
    if unfit := next((key for key in asked.train if key in NOT_ITS_OWN), ""):
        raise RecipeError(f"select.proxy.train.{unfit}: a proxy has none of its own; leave it out")
    content = recipe.model_dump(mode="json", exclude_none=True)
    content["model"] = _model(recipe, asked.model)
    train = {**content["train"], **asked.train}
    foreign = [key for key in foreign_keys("train", {"train": train}) if key not in asked.train]
    content["train"] = _without(train, foreign)
    if finds_lr(recipe) and "lr" not in asked.train:
        content["train"]["lr"] = 1.0
    data_seed = recipe.train.seed_of_data
    own = {"seed": rng.key(data_seed, "proxy") >> 1, "data_seed": data_seed, "compile": "no", "layer_lr_decay": 1.0}
    content["train"] |= {**own, "patience": "off", "budget": "off"}
    content["stages"] = [_without(stage, _PLAIN_STAGE) for stage in content["stages"]]
    content["augment"] = _without(content["augment"], _UNMIXED)
    for name in ("select", "sync", "evaluate", "out"):
        del content[name]
    content["data"] |= {"val": "none", "test": "none"}
    return parse_recipe(content, origin="select.proxy")


def filter_of(recipe: Recipe, size: int, share: float) -> Filter:
    """The selector of a run's proxy.

    Args:
        recipe: The run's recipe.
        size: Ids of the source, N.
        share: Of each batch.
    """
    return Filter(share, params_of(recipe).proxy_every, recipe.epochs, size, recipe.train.seed_of_data)


def params_of(recipe: Recipe) -> Params:
    """The parameters of the method."""
    assert isinstance(recipe.select, Params)
    return recipe.select


def _model(recipe: Recipe, asked: dict[str, Any]) -> dict[str, Any]:
    """The `[model]` section of a proxy: a net of its own name, or the run's, narrower."""
    own = _without(recipe.model.model_dump(mode="json", exclude_none=True), ("weights",))
    if "name" in asked:
        return {**{key: own[key] for key in ("head", "head_scale") if key in own}, **asked}
    if asked:
        return {**own, **asked}
    if "width" not in own:
        raise RecipeError(
            f'select.method = "proxy": model.name = "{recipe.model.name}" has no width to be divided; name a small net '
            'for it, such as [select.proxy.model] name = "resnet18_cifar", width = 0.25'
        )
    return {**own, "width": own["width"] / _NARROWER}


def _without(content: dict[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in keys}


def _counts(plan: Plan, share: float, every: int) -> tuple[dict[str, int], tuple[int, ...]]:
    """Ledger keys of a proxy's run, and the sides that it looks at."""
    images = sum(plan.shown_images(epoch) for epoch in range(plan.epochs))
    first = min(plan.recipe.model.first_images, plan.facts.data.train_images) * plan.facts.machine.processes
    counts = {"samples_loaded": images + first, "samples_forwarded": images, "samples_backpropagated": 0}
    counts |= {"optimizer_steps": 0, "flops": 0}
    for epoch in range(plan.epochs):
        learnt = [kept for kept in _learnt(plan, epoch, share, every) if kept > 1]
        flops, kept = plan.sample_flops(epoch), sum(learnt)
        counts["samples_forwarded"] += kept
        counts["samples_backpropagated"] += kept
        counts["optimizer_steps"] += len(learnt)
        scored = plan.shown_images(epoch) * plan.scoring_flops(epoch)
        counts["flops"] += scored + kept * flops.training + len(learnt) * flops.step
    return counts, tuple(stage.side_px for stage in plan.stages)


def _learnt(plan: Plan, epoch: int, share: float, every: int) -> Iterator[int]:
    """How many samples each step of an epoch trains the proxy on."""
    shown, seen = plan.shown_images(epoch), 0
    chooser = Filter(share, every, 0, 0, 0)
    sizes = plan.batch_sizes(shown, epoch, True, chooser.candidate_factor(plan.at(epoch)))
    for number, size in enumerate(sizes):
        kept, seen = up_to(share, seen + size, shown) - up_to(share, seen, shown), seen + size
        if number % every == 0:
            yield kept


def _most_loaded(plan: Plan, counts: dict[str, int]) -> int:
    """Of several workers one may lack what another has loaded, and loads it again."""
    again = counts["samples_backpropagated"] if plan.facts.machine.processes > 1 else 0
    return counts["samples_loaded"] + again
