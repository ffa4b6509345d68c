"""The digest: what it ignores, and that it stays."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.plan.compile import compile_plan
from fewer.plan.facts import Preparation
from fewer.recipe.parse import parse_recipe
from fewer.recipe.schema import Recipe
from planning import facts, recipe


def digest(recipe: Recipe, own_selector: str = "", **known: Any) -> str:
    return compile_plan(recipe, facts(**known), own_selector=own_selector).digest


def test_the_digest_ignores_seed_output_and_paths_and_nothing_else() -> None:
    base = digest(recipe())
    same = parse_recipe(
        {
            "model": {"name": "lenet5"},
            "out": {"dir": "elsewhere", "keep": 9},
            "train": {"seed": 5},
            "data": {"processes": 1, "source": "digits"},
        }
    )
    assert digest(same) == base
    for change in ({"train": {"lr": 0.3}}, {"augment": {"flip": "random"}}, {"select": {"method": "random"}}):
        assert digest(recipe(**change)) != base
    tar = {"model": {"name": "lenet5"}}
    one, other = (parse_recipe({**tar, "data": {"source": f"tar:{path}"}}) for path in ("/a/x.tar", "/b/y.tar"))
    assert digest(one) == digest(other)


def test_of_the_facts_it_holds_the_data_and_the_weights_but_not_the_machine() -> None:
    base = digest(recipe())
    assert digest(recipe(), processes=2, cores=8, threads=4, available_bytes=1) == base
    for known in ({"train_images": 999}, {"classes": ("a", "c")}, {"native_side_px": 28}, {"weights": "ab12"}):
        assert digest(recipe(), **known) != base
    for drawn in ({"by_masks": True}, {"difficult": "train"}, {"difficult": "ignore"}):
        assert digest(recipe(), **drawn) != base
    assert digest(recipe(), "Ours") != base


def test_a_reference_is_known_by_its_hash() -> None:
    def found(path: str, sha256: str) -> str:
        asked = recipe(select={"method": "rho", "reference": path, "guards": "off"})
        return digest(asked, preparation=Preparation((32,), {"flops": (1, 1)}, sha256))

    assert found("/a", "1") == found("/b", "1") != found("/a", "2")


def test_recorded_digests_stay() -> None:
    """Recorded results are found by their digest: a change here would make each another experiment."""
    assert digest(recipe()) == "03417262bcb400b1"
    then = {"refresh_every": 0, "guards": {"noise_cap": 0.05}}  # defaults that have changed, and results with them
    assert digest(recipe(select={"method": "dbpd", "threshold": 0.3, **then})) == "3bccf6c99a3f4020"
    assert digest(recipe(select={"method": "dbpd", "threshold": 0.3})) != "3bccf6c99a3f4020"


@pytest.mark.parametrize("method", ["infobatch", "kakurenbo", "ies", "smrd", "apd", "warmup_random", "periodic_full"])
def test_a_changed_default_without_effect_leaves_digests_as_they_are(method: str) -> None:
    """Who is suspected matters to methods that prefer high losses, and looking again to those that look."""
    asked = digest(recipe(select={"method": method, "guards": {"noise_cap": 0.05}}))
    assert digest(recipe(select={"method": method})) == asked
    fresh = {"method": "dbpd", "score": "fresh"}
    assert digest(recipe(select=fresh)) == digest(recipe(select={**fresh, "refresh_every": 0}))
