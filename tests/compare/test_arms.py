"""Arms of a comparison: budgets and shortened stages."""

from __future__ import annotations

import pytest

from fewer.compare.arms import Arm, at_end, epochs_of
from fewer.compare.comparison import _prepared
from fewer.compare.variants import Base, changes_of, variants_of
from fewer.core.errors import RecipeError
from paths import ROOT


def test_budgets_are_shares_or_epochs() -> None:
    assert epochs_of("25%,50%,75%,100%", 12) == [3, 6, 9, 12]
    assert epochs_of("25%,50%,75%,100%", 3) == [1, 2, 3]
    assert epochs_of("10, 5ep,150%", 20) == [5, 10, 30]
    for bad in ("", "0", "half", "2.5ep", "-3"):
        with pytest.raises(RecipeError, match="no budget"):
            epochs_of(bad, 12)


def test_runs_of_earlier_comparisons_are_found_by_their_recipes() -> None:
    base = Base.read(ROOT / "recipes" / "digits.toml")
    plain, others = variants_of(base, changes_of(["select.method=dbpd,random"], None))
    keys = [Arm("variant", variant).key for variant in (plain, *others)]
    assert keys == ["c1cd39f6c9", "5b8e6cb0d6", "0fc1853777"], "as version 0.1 named the folders"


def test_a_run_of_a_comparison_looks_at_its_judges_once() -> None:
    base = Base.read(ROOT / "recipes" / "digits.toml", ["data.val=20%", "train.patience=3ep", "evaluate.every=2"])
    plain, _ = variants_of(base, changes_of(["select.method=random"], None))
    judged = at_end(plain.recipe)
    assert (judged.evaluate.every, judged.train.patience) == (0, "off")
    assert judged.train.model_copy(update={"patience": plain.recipe.train.patience}) == plain.recipe.train


def test_a_budget_has_no_place_in_a_comparison_which_states_epochs() -> None:
    base = Base.read(ROOT / "recipes" / "digits.toml", ["train.budget=0.5"])
    plain, _ = variants_of(base, changes_of(["select.method=random"], None))
    with pytest.raises(RecipeError, match=r'train\.budget = "0\.5": a comparison states epochs.*`fewer plan`'):
        _prepared([Arm("baseline", plain)], "val/top1")
