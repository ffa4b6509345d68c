"""The curves of a learning-rate finder as a PNG file: a panel a stage, the recommendation and its interval marked."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fewer.core.errors import printable
from fewer.optim.lr_curve import smoothed
from fewer.session.lr_finder import Found

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#1f6fb4", "#c2571a", "#3a8a4d", "#8a4fa8", "#7a6a2f")
_DASHES = ("solid", "dashed", "dotted", "dashdot")
_MARK = "#222222"
_WIDTH_IN, _PANEL_IN, _DPI = 7.2, 3.6, 144


def figure(found: Sequence[Found], title: str) -> bytes:
    """A PNG file.

    Args:
        found: What was found, a panel each.
        title: Stands above.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(_WIDTH_IN, 0.5 + _PANEL_IN * len(found)), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(drawing)
    drawing.suptitle(printable(f"Learning-rate finder: {title}").replace("$", r"\$"), fontsize=11)
    for axes, each in zip(drawing.subplots(len(found), squeeze=False)[:, 0], found, strict=True):
        _panel(axes, each)
    file = io.BytesIO()
    drawing.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _panel(axes: Axes, found: Found) -> None:
    stage, tops, bottoms = found.stage, list[float](), list[float]()
    for number, (sweep, reading) in enumerate(zip(found.sweeps, found.readings, strict=True)):
        if len(sweep.rates) < 3:
            continue
        curve = smoothed(sweep.rates, sweep.losses)
        colour = _COLOURS[number % len(_COLOURS)]
        axes.plot(sweep.rates, sweep.losses, ".", color=colour, markersize=2.5, alpha=0.45)
        dash, said = _DASHES[number % len(_DASHES)], f"{reading.lr:.2g}" if reading else "no rate"
        axes.plot(sweep.rates, curve, color=colour, linestyle=dash, linewidth=1.5, label=f"sweep {number + 1}: {said}")
        tops.append(float(curve[:10].max()))
        bottoms.append(float(curve.min()))
    axes.axvspan(found.low, found.high, color=_MARK, alpha=0.10, linewidth=0)
    axes.axvline(found.lr, color=_MARK, linewidth=1.2)
    start, lowest = max(tops), min(bottoms)
    axes.set_ylim(lowest - 0.10 * (start - lowest), start + 0.45 * (start - lowest))
    axes.set_xscale("log")
    axes.set_xlabel("learning rate of a step")
    axes.set_ylabel("training loss of the next batch")
    axes.set_title(
        f"stage {stage.index + 1}: {stage.side_px} px, batches of {stage.batch_size}: {found.in_words()}", fontsize=10
    )
    axes.annotate(
        f" {found.lr:g}", (found.lr, 0.97), xycoords=("data", "axes fraction"), va="top", color=_MARK, fontsize=10
    )
    axes.grid(True, which="major", linewidth=0.4, alpha=0.5)
    legend = axes.legend(loc="lower left", fontsize=8, framealpha=0.9, title="smoothed; points are single batches")
    legend.get_title().set_fontsize(8)
