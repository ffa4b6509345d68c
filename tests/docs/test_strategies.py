"""The costs on docs/strategies.md are those that plans of the ready recipes have."""

from __future__ import annotations

import re

import pytest

from fewer.plan.compile import compile_plan
from fewer.plan.facts import DataFacts, Facts
from fewer.plan.model_facts import model_facts
from fewer.plan.savings import together
from fewer.recipe import shipped
from fewer.recipe.parse import parse_recipe
from paths import DOCS

PAGE = (DOCS / "strategies.md").read_text("utf-8")
# Training images, which a plan is made for without anybody having them, and classes.
IMAGES = {"cifar": (47_500, 10, 32), "photos": (2000, 30, 210), "imagenet": (1_268_355, 1000, 375)}


def costs(name: str) -> list[str]:
    """FEE, and its share of plain training, as the page writes them."""
    images, classes, side_px = IMAGES[name.partition("-")[0]]
    recipe = parse_recipe(shipped.ready_recipe(name))
    data = DataFacts(images, 100, 100, tuple(map(str, range(classes))), side_px, (images // classes,) * classes)
    plan = compile_plan(recipe, Facts(data, model_facts(recipe, data, None, None)))
    fee = plan.predicted["full_epoch_equivalents"][1]
    plain = together(plan.stage_costs).plain_flops / plan.plain_epoch_flops
    return [f"{fee:.2f}", f"{fee / plain:.0%}".replace("%", " %")]


@pytest.mark.parametrize("strategy", ["standard", "progressive", "hybrid", "hybrid-freezing"])
def test_the_table_of_costs_is_what_plans_say(strategy: str) -> None:
    row = re.search(rf"^\| {strategy} \| (.*) \|$", PAGE, flags=re.MULTILINE)
    assert row
    assert row[1].split(" | ") == [cell for size in IMAGES for cell in costs(f"{size}-{strategy}")]


def test_every_ready_recipe_is_on_the_page() -> None:
    """By name, or by an ending that follows the name of its family."""
    named = re.findall(r"`((?:[a-z]*-)+[a-z]+)`", PAGE)
    full, family = list[str](), ""
    for each in named:
        family = each.partition("-")[0] or family
        full.append(each if not each.startswith("-") else f"{family}{each}")
    unknown = {each for each in full if each.partition("-")[0] in IMAGES} - set(shipped.names())
    assert not unknown
    others = ("imagenet", "tiny", "boxes", "masks")
    missing = {each for each in shipped.names() if not each.startswith(others)} - set(full)
    assert not missing
