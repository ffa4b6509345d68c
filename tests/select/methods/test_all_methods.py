"""All selection methods alike: the contract, draws without bias, neutral settings, and the same costs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fewer import select
from fewer.core.observation import Observed
from fewer.core.table import Table
from fewer.core.types import At
from fewer.testing import check_selector, laws
from fewer.testing.harness import Content, trained
from stories import BARE, build, build_on

VARIANTS: list[dict[str, Any]] = [
    {"method": "dbpd", "rule": "score_or_wrong"},
    {"method": "infobatch", "pruned": 0.9, "revision": "0ep"},
    {"method": "infobatch", "weights": "none"},
    {"method": "seta", "groups": 3, "window": 0.5, "pruned": 0.3},
    {"method": "ies", "delta": 0.5},
    {"method": "ucb", "every": 2, "share": 0.3},
    {"method": "kakurenbo", "hidden": 0.8, "confidence": 0.2},
    {"method": "stratified", "balance": 0.0, "take": "random", "weights": "inclusion", "threshold": 0.6},
    {"method": "stratified", "published": True},
    {"method": "apd", "weights": "inclusion", "self_normalise": True},
    {"method": "smrd", "published": True, "weights": "inclusion"},
    {"method": "srd", "decay": "logarithmic"},
    {"method": "srd", "decay": "inverse_linear", "batches": "shrink"},
    {"method": "auto", "probe": "2ep"},
    {"method": "warmup_random", "warmup": "2ep"},
    {"method": "selective_backprop", "weights": "inclusion", "beta": 2.0},
    {"method": "selective_backprop", "score": "fresh", "history": 8},
    {"method": "periodic_full", "every_effective_epochs": 1.5},
    {"method": "alternate", "threshold": 0.6},
    {"method": "adaptive", "interval": 1, "published": True},
]


@pytest.mark.parametrize("content", VARIANTS, ids=str)
def test_every_variant_keeps_the_contract(content: dict[str, Any]) -> None:
    check_selector(lambda population: select.build(select.params(content["method"])(**content), population, 6))


@pytest.mark.parametrize(
    "content",
    [
        {"method": "infobatch", "pruned": 0.7},
        {"method": "selective_backprop", "weights": "inclusion"},
        {"method": "smrd", "weights": "inclusion", "threshold": 0.5},
        {"method": "apd", "weights": "inclusion", "threshold": 0.5},
        {"method": "stratified", "take": "random", "weights": "inclusion", "threshold": 0.5},
        {"method": "random", "weights": "inclusion", "share": 0.3},
        {"method": "srd", "weights": "inclusion", "gamma": 0.5, "least": 0.3},
        {"method": "warmup_random", "weights": "inclusion", "warmup": "1ep", "threshold": 0.5},
        {"method": "periodic_full", "weights": "inclusion", "every_effective_epochs": 1000.0, "threshold": 0.5},
        {"method": "smrd", "weights": "inclusion", "published": True, "threshold": 0.5},
        {"method": "selective_backprop", "weights": "inclusion", "score": "fresh"},
    ],
    ids=lambda content: "-".join(
        str(value) for key, value in content.items() if key in ("method", "score", "published")
    ),
)
def test_weights_make_a_draw_unbiased(content: dict[str, Any]) -> None:
    """Over many draws every sample's mean weight is 1: the mean weighted gradient is that of all samples."""
    labels, draws = [0] * 12 + [1] * 6, 500
    score = torch.linspace(0.05, 0.95, 18)[torch.randperm(18, generator=torch.Generator().manual_seed(1))]
    table = Table(18)
    table.observe("trained", Observed.of(torch.arange(18), -score.log(), score, score > 0.5), 0)
    fields = select.params(content["method"]).model_fields
    options = {key: value for key, value in {**BARE, "clip_weights": 0.0}.items() if key in fields}
    selector = build({**options, **content}, labels, epochs=draws + 1)
    weight_DN = torch.zeros(draws, 18, dtype=torch.float64)
    for draw in range(draws):
        at = At(draw + 1, draws + 1, 0.5)
        chosen = selector.select(table, torch.arange(18), at)
        if selector.in_batch(at):  # all 18 are a batch, of which some are kept
            kept = selector.keep(Observed.of(torch.arange(18), -score.log(), score, score > 0.5), at)
            weight_DN[draw, kept.mask_G] = kept.weight_G[kept.mask_G]
        else:
            weight_DN[draw, chosen.ids_M] = chosen.weight_M
    spread_N = weight_DN.std(0)
    assert (spread_N > 0.1).any(), "the draw must differ"
    assert ((weight_DN.mean(0) - 1).abs() <= 4.5 * spread_N / draws**0.5 + 1e-9).all()


DIGITS: Content = {
    "data": {"source": "digits", "val": "none", "test": "70%"},
    "model": {"name": "lenet5", "width": 0.2},
    "train": {"epochs": 8, "batch_size": 64, "lr": 0.05, "seed": 0},
}


def test_every_neutral_setting_is_plain_training() -> None:
    few = {**DIGITS, "data": {**DIGITS["data"], "test": "93%"}, "train": {**DIGITS["train"], "epochs": 3}}
    laws.off_is_plain(few, select.METHODS.neutral())


OF_OTHER_TASKS = ["afss"]  # what these choose by, classification does not tell; their own tests have a task that does


@pytest.mark.parametrize(
    "name",
    [n for n in select.names() if "cost" in select.params(n).model_fields and n not in OF_OTHER_TASKS],
)
def test_every_method_meets_a_stated_cost(name: str) -> None:
    cost = 0.9 if name == "ies" else 0.7  # six of its epochs are on everything
    shorter = (
        {"proxy_epochs": "1ep"} if name == "rho" else {}
    )  # by default, proxies alone cost as much as plain training
    session = trained({**DIGITS, "select": {"method": name, "cost": cost, **shorter}})
    assert session.run.ledger.full_epoch_equivalents / session.plan.epochs == pytest.approx(cost, rel=0.01)


EVERY_METHOD: list[dict[str, Any]] = [
    *({"method": name} for name in select.names()),
    {"method": "random", "share": 0.3, "revision": "2ep"},
    {"method": "dbpd", "score": "stale", "refresh_every": 3, "batches": "shrink"},
    {"method": "dbpd", "score": "fresh", "threshold": 0.6, "revision": "1ep"},
    {"method": "dbpd", "score": "fresh", "threshold": 1.0, "scoring": "train"},
]


@pytest.mark.parametrize("content", EVERY_METHOD, ids=str)
def test_every_method_keeps_the_contract(content: dict[str, Any]) -> None:
    check_selector(lambda population: build_on(content, population))
