"""The worst samples of a classifier: the class that it took each for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewer.report import units
from fewer.report.load import Folder
from fewer.report.markup import Html, esc, name
from fewer.report.values import number, sequence, whole


def verdict(folder: Folder, sample: Mapping[str, Any]) -> tuple[str, Html]:
    """True class, prediction and its probability, as text and as HTML."""
    true, predicted = (_class(folder, sample.get(key)) for key in ("true", "predicted"))
    sure = number(sample.get("probability"))
    confidence = "" if sure is None else f" ({units.share(sure)})"
    if true == predicted:
        return f"{true}, rightly", Html(f"{name(true, 40)}, rightly{esc(confidence)}")
    return f"{true}, taken for {predicted}", Html(f"{name(true, 40)} → {name(predicted, 40)}{esc(confidence)}")


def _class(folder: Folder, index: object) -> str:
    names, place = sequence(folder.plan.get("classes")), whole(index)
    return str(names[place]) if place is not None and 0 <= place < len(names) else str(index)
