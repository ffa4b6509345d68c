"""Formatting of a comparison's numbers and sentences, for the page and the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from fewer.core.evaluation import Metric
from fewer.report import units
from fewer.report.metrics import Metrics

_NAMED = 3  # variants in the headline
Estimate = Mapping[str, Any] | None  # mean and bounds of a sample, as in compare.json
MINUS = "−"


def metric_title(metrics: Metrics, name: str) -> str:
    """`val/top1` as "top-1 on validation"."""
    split, _, _ = name.partition("/")
    return f"{metrics[name].label} on {'validation' if split == 'val' else split}"


def level(metric: Metric, estimate: Estimate) -> str:
    """A mean and half its interval: 97.21 ± 0.35 %."""
    if estimate is None:
        return units.DASH
    scale, digits, unit = (100.0, 2, f"{units.NBSP}%") if metric.is_share else (1.0, 4, "")
    mean = f"{scale * estimate['mean']:.{digits}f}"
    return f"{mean}{unit}" if estimate["high"] is None else f"{mean} ± {scale * half(estimate):.{digits}f}{unit}"


def half(estimate: Mapping[str, Any]) -> float:
    """Half of an interval; 0 where there is none."""
    return 0.0 if estimate["high"] is None else float(estimate["high"] - estimate["mean"])


def gain(estimate: Estimate) -> str:
    """A difference in points, more is better: +0.31 ± 0.20."""
    if estimate is None:
        return units.DASH
    mean = f"{100 * estimate['mean']:+.2f}".replace("-", MINUS)
    return f"{mean} (n=1)" if estimate["high"] is None else f"{mean} ± {100 * half(estimate):.2f}"


def spent(estimate: Estimate, form: Callable[[float], str]) -> str:
    """The mean cost of an arm."""
    return units.DASH if estimate is None else form(estimate["mean"])


def epochs(value: float) -> str:
    """FEE and EE, with more digits than in a report, as they are compared here."""
    return f"{value:,.2f}"


def ratio(arm: Mapping[str, Any]) -> str:
    """The share of the baseline's cost."""
    return units.DASH if arm.get("cost") is None else f"{arm['cost']:.2f}"


def headline(summary: Mapping[str, Any]) -> str:
    """The comparison in a sentence or two: the variants that passed, and a count of the other verdicts."""
    variants = [arm for arm in summary["arms"] if arm["kind"] == "variant"]
    if len(variants) == 1:
        return f"{variants[0]['name']}: {variants[0]['verdict']}."
    passed = sorted((arm for arm in variants if arm["holds"]), key=lambda arm: arm["cost"])
    others = Counter(arm["verdict"].partition(":")[0] for arm in variants if not arm["holds"])
    rest = ", ".join(f"{count} {verdict}" for verdict, count in others.most_common())
    counts = f"{len(passed) or 'None'} of {len(variants)} variants passed{f', {rest}' if rest else ''}."
    return " ".join([counts, *(f"{arm['name']}: {arm['verdict']}." for arm in passed[:_NAMED])])


def shared(summary: Mapping[str, Any]) -> str:
    """Which arms took results of other runs, which their seconds lack and their FEE holds; empty where none did."""
    found = [f"{arm['name']} up to {arm['shared']:.0%}" for arm in summary["arms"] if arm.get("shared")]
    if not found:
        return ""
    return f"Operations that another run had left in the cache, which FEE holds and time does not: {', '.join(found)}."


def caution(summary: Mapping[str, Any], confirms: bool = False) -> str:
    """A caution about the images that decided."""
    if summary["metric"].startswith("val/"):
        return "Judged on validation images: good for choosing. The best of many is partly luck: confirm it."
    if confirms:
        return "Fresh seeds, trained on all images, judged on test: these numbers can be reported."
    return (
        "Judged on test images: after a choice by these numbers, no untouched images are left to report on. "
        'Choose with data.val = "10%", and --confirm.'
    )
