"""The parts of training an image as a PNG file: a bar a stage, and what training as a whole took."""

from __future__ import annotations

import io
from typing import Any

from fewer.core.errors import printable
from fewer.session.data_costs import PARTS

_COLOURS = ("#1f6fb4", "#7a6a2f", "#3a8a4d", "#8a4fa8", "#c2571a")
_WIDTH_IN, _BAR_IN, _DPI = 7.2, 0.55, 144


def figure(document: dict[str, Any]) -> bytes:
    """A PNG file of the content of `data-bench.json`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    stages = document["stages"]
    drawing = Figure(figsize=(_WIDTH_IN, 1.9 + _BAR_IN * len(stages)), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.subplots()
    names = [f"{each['stage']}: {each['side_px']} px, batch {each['batch_size']}" for each in stages]
    left = [0.0] * len(stages)
    for part, colour in zip(PARTS, _COLOURS, strict=True):
        widths = [each["milliseconds"][part] for each in stages]
        axes.barh(names, widths, left=left, color=colour, height=0.6, label=part)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    taken = [1e3 / each["images_per_second"] for each in stages]
    axes.plot(taken, names, "D", color="#222222", markersize=6, label="all together")
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds an image (decoding: of one core)")
    axes.set_title(printable(f"{document['source']}, {document['model']}").replace("$", r"\$"), fontsize=10)
    axes.grid(True, axis="x", linewidth=0.4, alpha=0.5)
    axes.set_axisbelow(True)
    drawing.legend(loc="outside lower center", ncols=len(PARTS) + 1, fontsize=8, frameon=False)
    file = io.BytesIO()
    drawing.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
