"""Numbers of a comparison as a person reads them, on the page and in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from fewer.report import units

_NAMED = 3  # variants in the headline
Told = Mapping[str, Any] | None  # a sample, as the document has it
MINUS = "−"


def title(metric: str) -> str:
    """`val/top1` as "top-1 on validation"."""
    split, _, name = metric.partition("/")
    return f"{units.title(name)} on {'validation' if split == 'val' else split}"


def level(metric: str, told: Told) -> str:
    """A mean and half its interval: 97.21 ± 0.35 %."""
    if told is None:
        return units.DASH
    scale, digits, unit = (1.0, 4, "") if "loss" in metric else (100.0, 2, f"{units.NBSP}%")
    mean = f"{scale * told['mean']:.{digits}f}"
    return f"{mean}{unit}" if told["high"] is None else f"{mean} ± {scale * half(told):.{digits}f}{unit}"


def half(told: Mapping[str, Any]) -> float:
    """Half of an interval; 0 where there is none."""
    return 0.0 if told["high"] is None else float(told["high"] - told["mean"])


def gain(told: Told) -> str:
    """A difference in points, more is better: +0.31 ± 0.20."""
    if told is None:
        return units.DASH
    mean = f"{100 * told['mean']:+.2f}".replace("-", MINUS)
    return f"{mean} (n=1)" if told["high"] is None else f"{mean} ± {100 * half(told):.2f}"


def spent(told: Told, form: Callable[[float], str]) -> str:
    """What an arm cost on average."""
    return units.DASH if told is None else form(told["mean"])


def epochs(value: float) -> str:
    """FEE and EE, finer than on a report: here they are compared."""
    return f"{value:,.2f}"


def ratio(arm: Mapping[str, Any]) -> str:
    """The share of the baseline's cost."""
    return units.DASH if arm.get("cost") is None else f"{arm['cost']:.2f}"


def headline(summary: Mapping[str, Any]) -> str:
    """The comparison in a sentence or two: what passed, and how many of the others ended how."""
    variants = [arm for arm in summary["arms"] if arm["kind"] == "variant"]
    if len(variants) == 1:
        return f"{variants[0]['name']}: {variants[0]['verdict']}."
    passed = sorted((arm for arm in variants if arm["holds"]), key=lambda arm: arm["cost"])
    others = Counter(arm["verdict"].partition(":")[0] for arm in variants if not arm["holds"])
    rest = ", ".join(f"{count} {verdict}" for verdict, count in others.most_common())
    said = f"{len(passed) or 'None'} of {len(variants)} variants passed{f', {rest}' if rest else ''}."
    return " ".join([said, *(f"{arm['name']}: {arm['verdict']}." for arm in passed[:_NAMED])])


def caution(summary: Mapping[str, Any], confirms: bool = False) -> str:
    """What to keep in mind about the images that were judged on."""
    if summary["metric"].startswith("val/"):
        return (
            "Judged on validation images: good for choosing; the choice itself flatters, so confirm it on fresh seeds."
        )
    if confirms:
        return "Fresh seeds, trained on all images, judged on test: what may be reported."
    return (
        "Judged on test images: whoever chooses by these numbers has no untouched images left to report on. "
        'Choose with data.val = "10%", and --confirm.'
    )
