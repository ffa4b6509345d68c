"""The studies of selection.py: recipes, and the variants of each that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import paces
from common import ROOT
from ingredients import FAST, INGREDIENTS, MUON, PIXELS, SELECTED

DIGITS = ROOT / "recipes" / "digits.toml"
PLAIN = "plain"
BUDGETS = (0.4, 0.6, 0.8, 1.0)
COST = 0.6
# Methods that favour hard samples end on two full epochs, as published.
REVISED = "select.revision=10%"
AT_COST: dict[str, tuple[str, ...]] = {
    "dbpd": ("select.method=dbpd", REVISED),
    "smrd": ("select.method=smrd", REVISED),
    "srd": ("select.method=srd",),
    "stratified": ("select.method=stratified", REVISED),
    "apd": ("select.method=apd", REVISED),
    "warmup_random": ("select.method=warmup_random", "select.warmup=20%", REVISED),
    "periodic_full": ("select.method=periodic_full", REVISED),
    "infobatch": ("select.method=infobatch",),
    "selective_backprop": ("select.method=selective_backprop", REVISED),
    "selective_backprop weighted": ("select.method=selective_backprop", "select.weights=inclusion"),
    "ucb": ("select.method=ucb", "select.every=2", REVISED),
    "seta": ("select.method=seta",),
    "orderdp": ("select.method=orderdp", REVISED),
}
# Methods at amounts of their own; the cost is what comes out.
OWN: dict[str, tuple[str, ...]] = {
    "dbpd, threshold 0.3": ("select.method=dbpd", "select.threshold=0.3", REVISED),
    "dbpd, threshold 0.7": ("select.method=dbpd", "select.threshold=0.7", REVISED),
    "dbpd fresh, threshold 0.7": ("select.method=dbpd", "select.score=fresh", "select.threshold=0.7", REVISED),
    "dbpd fresh, threshold 0.7, scored at 16 px": (
        "select.method=dbpd",
        "select.score=fresh",
        "select.threshold=0.7",
        "select.scorer_side_px=16",
        REVISED,
    ),
    "selective_backprop fresh, beta 2": (
        "select.method=selective_backprop",
        "select.score=fresh",
        "select.beta=2.0",
        REVISED,
    ),
    "dbpd, threshold 0.7, refreshed": ("select.method=dbpd", "select.threshold=0.7", "select.refresh_every=4", REVISED),
    "adaptive from 0.5": ("select.method=adaptive", "select.threshold=0.5", "select.interval=5", REVISED),
    "alternate, threshold 0.7": ("select.method=alternate", "select.threshold=0.7", REVISED),
    "kakurenbo": ("select.method=kakurenbo",),
    "rho, twin proxies": ("select.method=rho",),
    "infobatch": ("select.method=infobatch",),
    "ies": ("select.method=ies", "select.delta=0.01"),
    "auto": ("select.method=auto",),
}
# Not a method: what another schedule does to plain training at the same cost.
SCHEDULES: dict[str, tuple[str, ...]] = {
    "plain 0.6, cosine": ("train.epochs=12", "train.schedule=cosine"),
}
# What `srd` owes to its schedule, which takes most steps at high rates; and a share that goes down and up (PODS).
PACES: dict[str, tuple[str, ...]] = {
    "plain 0.6, rates of srd": paces.as_srd(20, 0.6),
    "random 0.6, oscillating": ("select.method=random", "select.cost=0.6", "select.oscillation=0.4"),
    "srd 0.6, rates of plain": paces.as_plain(20, 0.6),
}
TRUSTED = "dbpd, threshold 0.95, noise cap 0.41"
GUARDS: dict[str, tuple[str, ...]] = {
    "dbpd 0.6, no guards": (*AT_COST["dbpd"], "select.cost=0.6", "select.guards=off"),
    "dbpd 0.6, noise cap 0.4": (*AT_COST["dbpd"], "select.cost=0.6", "select.guards.noise_cap=0.4"),
    # All but what is suspected, as many as labels are wrong, and what is surely known; the cost is what comes out.
    TRUSTED: (
        "select.method=dbpd",
        "select.threshold=0.95",
        "select.guards.noise_cap=0.41",
        "select.guards.noise_from=30%",
    ),
}
RARE: dict[str, tuple[str, ...]] = {
    "class_balanced": ("select.method=class_balanced",),
    "class_balanced, square root": ("select.method=class_balanced", "select.power=0.5"),
    "repeat_factor": ("select.method=repeat_factor",),
    "logit adjustment": ("task.loss=logit_adjustment",),
    "focal": ("task.loss=focal",),
    "class-balanced loss": ("task.class_weights=effective_number",),
    "LDAM, deferred weights": (
        "task.loss=ldam",
        "model.head=normalized",
        "task.class_weights=effective_number",
        "task.reweight_from=80%",
    ),
    "dbpd 0.6, no guards": GUARDS["dbpd 0.6, no guards"],
    "dbpd 0.6, class floor 0.3": (*AT_COST["dbpd"], "select.cost=0.6", "select.guards.class_floor=0.3"),
}

# Methods whose defaults have changed since the results were recorded: they look again at what they leave out, and
# suspect labels on evidence only.
_LOOKING_AGAIN = ("dbpd", "stratified", "adaptive")
_SUSPECTING = (*_LOOKING_AGAIN, "alternate", "selective_backprop", "ucb", "orderdp")


def as_recorded(overrides: Sequence[str]) -> tuple[str, ...]:
    """The overrides, and the defaults of then that they leave open, so that runs on record stay what they were."""
    stated = dict(text.split("=", 1) for text in overrides)
    method, then = stated.get("select.method"), {}
    if method in _SUSPECTING and "select.guards" not in stated:
        then["select.guards.noise_cap"] = "0.05"
    if method in _LOOKING_AGAIN and stated.get("select.score") != "fresh":
        then["select.refresh_every"] = "0"
    return (*overrides, *(f"{key}={value}" for key, value in then.items() if key not in stated))


@dataclass(frozen=True)
class Study:
    """A recipe, and what is varied in it.

    Attributes:
        recipe: File in benchmarks/studies, or in recipes.
        epochs: Of plain training.
        variants: Name to overrides.
        overrides: Of every run of the study.
        uniform: The key of `UNIFORM` whose labels the study trains on, if any.
    """

    recipe: Path
    epochs: int
    variants: dict[str, tuple[str, ...]]
    overrides: tuple[str, ...] = ()
    uniform: str = ""


def plain(epochs: int, budgets: tuple[float, ...] = BUDGETS) -> dict[str, tuple[str, ...]]:
    """Plain training, and for a part of the epochs, annealed over them."""
    return {PLAIN: ()} | {f"{PLAIN} {b:g}": (f"train.epochs={round(b * epochs)}",) for b in budgets if b < 1}


def curves(epochs: int, budgets: tuple[float, ...] = BUDGETS) -> dict[str, tuple[str, ...]]:
    """Plain training at some budgets, and random shares of the same cost."""
    random = {f"random {b:g}": ("select.method=random", f"select.cost={b:g}") for b in budgets if b < 1}
    return plain(epochs, budgets) | random


def at_cost(cost: float, *names: str) -> dict[str, tuple[str, ...]]:
    return {f"{name} {cost:g}": (*AT_COST[name], f"select.cost={cost:g}") for name in names or AT_COST}


# Of the tuned recipe: what did best in tier 1, and the curve at three budgets beside the whole.
BEST: dict[str, tuple[str, ...]] = {
    "infobatch": OWN["infobatch"],
    "dbpd, threshold 0.7": OWN["dbpd, threshold 0.7"],
    "srd 0.6": (*AT_COST["srd"], "select.cost=0.6"),
}


# A small net that chooses, its cost included, beside plain training and random shares of that cost.
PROXY: dict[str, tuple[str, ...]] = {
    **plain(40, (0.55, 1.0)),
    "proxy 0.5": ("select.method=proxy", "select.share=0.5"),
    "random 0.55": ("select.method=random", "select.cost=0.55"),
    "proxy 0.5, the last 10 % on all": ("select.method=proxy", "select.share=0.5", REVISED),
    "proxy 0.5, no guards": ("select.method=proxy", "select.share=0.5", "select.guards=off"),
    "infobatch": OWN["infobatch"],
    "srd 0.55": (*AT_COST["srd"], "select.cost=0.55"),
}
TIER_1 = ROOT / "benchmarks" / "studies" / "cifar10-10k.toml"
# Labels of which 40 % are another class, drawn at random: mistakes without a reason. Written by selection.py.
UNIFORM = {name: ROOT / "runs" / f"{name}-uniform40.csv" for name in ("cifar10", "digits")}
CIFAR_10N = ROOT / "data" / "cifar10" / "cifar10n_labels.csv"
WRONG_LABELS = f'data.labels={{csv="{CIFAR_10N}", column="worse_label", numbers="positions"}}'
# The tuned recipe at half its width, on 20,000 images: two to three minutes a run with AMX.
HALF = Study(
    ROOT / "recipes" / "cifar10.toml",
    12,
    {**plain(12, (0.5, 0.58, 0.66, 1.0)), **PIXELS, **FAST, **SELECTED},
    ("data.subset=20000", "model.width=0.5", "train.epochs=12", "train.batch_size=512", "train.lr=0.75"),
)
STUDIES = {
    # What `--smoke` runs: every step of the way, and nothing that means anything.
    "smoke": Study(
        DIGITS,
        5,
        {**plain(5, (0.4, 1.0)), **at_cost(COST, "dbpd")},
        ("train.epochs=5", "model.width=0.1", "data.subset=64"),
    ),
    "tier1": Study(TIER_1, 20, {**curves(20), **at_cost(COST), **OWN, **SCHEDULES, **PACES}),
    # What passed in tier 1, where one of twenty would by chance, on seeds that were not looked at: --seeds 10,11,12...
    "confirm": Study(
        TIER_1, 20, {**plain(20, (0.6,)), **at_cost(COST, "srd"), "random 0.6": curves(20)["random 0.6"], **PACES}
    ),
    # Easy data, learnt to the end: where most images teach little any more. 719 test images.
    "digits": Study(
        DIGITS,
        12,
        {
            **curves(12),
            **at_cost(COST, "dbpd", "srd", "infobatch", "selective_backprop", "seta"),
            **{name: OWN[name] for name in ("dbpd, threshold 0.7", "infobatch", "kakurenbo", "ies", "auto")},
        },
        ("data.test=40%",),
    ),
    # Half an hour a run on one core: `--seeds 0`, `--only` and resuming are for this.
    "tier2": Study(ROOT / "recipes" / "cifar10.toml", 10, {**plain(10), **BEST}),
    "pixels": HALF,
    # The same training, at the same cost unless the name says otherwise.
    "ingredients": Study(HALF.recipe, HALF.epochs, {**plain(12, (0.83, 1.0)), **INGREDIENTS}, HALF.overrides),
    # Seed 100 with data.val=10% chose the rate.
    "muon": Study(HALF.recipe, HALF.epochs, {**plain(12, (0.83, 1.0)), **MUON}, HALF.overrides),
    # Learnt nearly by heart, where most images teach little any more: 10,000 images for 40 epochs.
    "proxy": Study(
        HALF.recipe,
        40,
        PROXY,
        (
            *("data.subset=10000", "model.width=0.5", "train.epochs=40", "train.batch_size=256", "train.lr=0.375"),
            *("augment.crop_padding_px=4", "augment.cutout_px=12"),
        ),
    ),
    # The same with weak views, which are learnt to the end: where the method was published to pay.
    "proxy_weak": Study(
        HALF.recipe,
        40,
        {**plain(40, (0.6, 1.0)), **{name: PROXY[name] for name in ("proxy 0.5, the last 10 % on all", "proxy 0.5")}},
        ("data.subset=10000", "model.width=0.5", "train.epochs=40", "train.batch_size=256", "train.lr=0.375"),
    ),
    # 40 % of the labels are human mistakes.
    "noisy": Study(
        TIER_1,
        20,
        {
            **plain(20, (0.6, 0.8, 1.0)),
            "random 0.6": curves(20)["random 0.6"],
            **at_cost(COST, "dbpd", "srd", "stratified", "infobatch", "smrd", "seta"),
            **GUARDS,
        },
        (WRONG_LABELS,),
    ),
    "uniform": Study(
        TIER_1,
        20,
        {
            **plain(20, (0.6, 0.8, 1.0)),
            TRUSTED: GUARDS[TRUSTED],
            "auto": OWN["auto"],
        },
        (f'data.labels={{csv="{UNIFORM["cifar10"]}", column="label", numbers="positions"}}',),
        "cifar10",
    ),
    # Easy images, of which the right ones are learnt at once: 719 test images.
    "digits_uniform": Study(
        DIGITS,
        20,
        {
            **plain(20),
            TRUSTED: GUARDS[TRUSTED],
            "dbpd, threshold 0.999, noise cap 0.41": (
                "select.threshold=0.999",
                *GUARDS[TRUSTED][:1],
                *GUARDS[TRUSTED][2:],
            ),
            "auto": OWN["auto"],
        },
        (
            f'data.labels={{csv="{UNIFORM["digits"]}", column="label"}}',
            "data.val=none",
            "data.test=40%",
            "model.width=0.5",
            "train.epochs=20",
        ),
        "digits",
    ),
    # What settings were chosen by: val/top1 of other seeds (--seeds 10,11), whose labels are as wrong as the others.
    "choice": Study(
        TIER_1,
        20,
        {
            f"cap {cap:g} from {start} %, threshold {threshold:g}": (
                "select.method=dbpd",
                f"select.threshold={threshold:g}",
                f"select.guards.noise_cap={cap:g}",
                f"select.guards.noise_from={start}%",
            )
            for cap, start, threshold in (
                (0.4, 20, 0.95),
                (0.4, 30, 0.95),
                (0.4, 40, 0.95),
                (0.45, 30, 0.95),
                (0.4, 30, 0.9),
            )
        },
        (WRONG_LABELS, "data.val=20%"),
    ),
    # The same for longer, where a net begins to learn mistakes by heart.
    "noisy40": Study(
        TIER_1,
        40,
        {
            **plain(40, (0.6, 1.0)),
            TRUSTED: GUARDS[TRUSTED],
            **{name: variant for name, variant in curves(40, (0.6, 1.0)).items() if name.startswith("random")},
        },
        (WRONG_LABELS, "train.epochs=40"),
    ),
    # 1,000 images of the first class, 10 of the last: 2,478 in all, and three times the epochs.
    "longtail": Study(
        TIER_1,
        60,
        {
            **curves(60, (0.6, 1.0)),
            **at_cost(COST, "dbpd", "srd", "stratified", "apd"),
            **RARE,
        },
        ('data.long_tail={kind="exp", factor=100}', "train.label_smoothing=0.0", "train.epochs=60"),
    ),
}
