"""The picture of a ladder: the deciding metric against cost, a point a budget, and which budget is enough."""

from __future__ import annotations

import io
from typing import Any

from fewer.core.errors import printable

_LINE, _MARK = "#1f6fb4", "#c2571a"


def figure(document: dict[str, Any]) -> bytes:
    """A PNG file of the content of `ladder.json`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, key = document["rungs"], document["metric"]
    costs = [row["full_epoch_equivalents"] for row in rows]
    values = [row["metrics"][key] for row in rows]
    drawing = Figure(figsize=(7.2, 4.4), dpi=144, layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.subplots()
    axes.plot(costs, values, "o-", color=_LINE, linewidth=1.5)
    if all(key in row["intervals"] for row in rows):
        bounds = [row["intervals"][key] for row in rows]
        low = [value - low for value, (low, _) in zip(values, bounds, strict=True)]
        high = [high - value for value, (_, high) in zip(values, bounds, strict=True)]
        axes.errorbar(costs, values, [low, high], fmt="none", ecolor=_LINE, capsize=3, alpha=0.6)
    for row, cost, value in zip(rows, costs, values, strict=True):
        axes.annotate(f" {row['budget']:g}", (cost, value), va="bottom", fontsize=9)
        if row["budget"] == document["enough"]:
            axes.plot([cost], [value], "o", color=_MARK, markersize=9, label="from here on no gain shows")
            axes.legend(loc="lower right", fontsize=8)
    axes.set_xlabel("cost of a run of that budget, full-epoch equivalents")
    axes.set_ylabel(f"{key}, 95 % interval by the images")
    axes.set_title(printable(f"Ladder: {document['model']}, {document['source']}").replace("$", r"\$"), fontsize=11)
    axes.grid(True, linewidth=0.4, alpha=0.5)
    file = io.BytesIO()
    drawing.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
