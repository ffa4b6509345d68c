"""The picture of README.md: accuracy against the cost of training, from benchmarks/results/selection.jsonl.

    python benchmarks/picture.py

Three studies side by side. The line is plain training of several lengths, each with its learning rate annealed to its
end; a point is a selection method; bars are standard deviations over seeds. Writes docs/images/savings.svg. Nothing is
trained. A smoke run draws the picture and keeps nothing.
"""

from __future__ import annotations

import io
import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from common import RESULTS, ROOT, parsed, parser

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE = ROOT / "docs" / "images" / "savings.svg"
GREY, BLUE, RED = "#5b6470", "#0b62c4", "#c2410c"  # on white, which is opaque: pages are light or dark
CAP = "dbpd, threshold 0.95, noise cap 0.41"

Run = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """One study.

    Attributes:
        title: Stands above the axes.
        studies: The studies whose plain runs make the line; the first one's methods are the points.
        named: Methods that are drawn large, with the label of each and its offset in points.
        ticks: Epochs named on the axis.
    """

    title: str
    studies: Sequence[str]
    named: Mapping[str, tuple[str, tuple[int, int]]]
    ticks: Sequence[int]


PANELS = (
    Panel(
        "Digits, 40 % of the labels wrong at random",
        ("digits_uniform",),
        {"auto": ("auto", (20, 0)), "dbpd, threshold 0.999, noise cap 0.41": ("dbpd", (-22, -3))},
        (8, 12, 16, 20),
    ),
    Panel(
        "CIFAR-10N, 40 % of the labels mistaken",
        ("noisy40", "noisy"),
        {CAP: ("dbpd", (22, -2)), "random 0.6": ("random", (0, -24))},
        (12, 24, 40),
    ),
    Panel(
        "CIFAR-10, right labels",
        ("tier1",),
        {"srd 0.6": ("srd", (-16, 2)), "auto": ("auto", (-22, 2))},
        (8, 12, 16, 20),
    ),
)
LEFT_OUT = frozenset({CAP, "plain 0.6, cosine", "rho, twin proxies"})  # undecided, another schedule, beyond the axis


def main() -> None:
    args = parsed(parser(__doc__))
    lines = [json.loads(text) for text in (RESULTS / "selection.jsonl").read_text(encoding="utf-8").splitlines()]
    svg = drawn(lines)
    if not args.smoke:
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(svg, encoding="utf-8")
    print(f"{PICTURE.relative_to(ROOT)}: {len(svg) / 1000:.0f} kB")


def drawn(lines: Sequence[Run]) -> str:
    """The picture as SVG, the same text for the same results."""
    import matplotlib

    matplotlib.use("svg")
    with matplotlib.rc_context({"svg.hashsalt": "fewer", "font.size": 9, "axes.edgecolor": GREY}):
        text = io.StringIO()
        figure(lines).savefig(text, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def figure(lines: Sequence[Run]) -> Figure:
    """The three panels."""
    from matplotlib import pyplot

    canvas, axes = pyplot.subplots(1, len(PANELS), figsize=(10, 3.3), layout="constrained", facecolor="white")
    for panel, place in zip(PANELS, axes, strict=True):
        _draw(place, panel, [line for line in lines if line["study"] in panel.studies and "error" not in line])
    axes[0].set_ylabel("test top-1, %")
    axes[0].legend(loc="lower center", frameon=False, fontsize=8)
    canvas.supxlabel("cost of training, in full-epoch equivalents (FEE)", fontsize=9)
    return canvas


def _draw(axes: Axes, panel: Panel, lines: Sequence[Run]) -> None:
    arms: dict[tuple[str, str], list[Run]] = {}
    for line in lines:
        arms.setdefault((line["study"], line["variant"]), []).append(line)
    plain = {name: runs for name, runs in arms.items() if re.fullmatch(r"plain( [\d.]+)?", name[1])}
    plain_points = sorted(_point(runs) for runs in plain.values())
    methods = {
        name: runs
        for (study, name), runs in arms.items()
        if study == panel.studies[0] and (study, name) not in plain and (name in panel.named or name not in LEFT_OUT)
    }
    fees, means, spreads = zip(*plain_points, strict=True)
    axes.errorbar(fees, means, spreads, color=GREY, marker="s", markersize=4, linewidth=1.5, label="plain training")
    for name, runs in sorted(methods.items()):
        fee, mean, spread = _point(runs)
        if name not in panel.named:
            axes.plot(fee, mean, "o", color=BLUE, markersize=3, alpha=0.45)
            continue
        label, offset = panel.named[name]
        axes.errorbar(fee, mean, spread, color=RED, marker="o", markersize=6, linestyle="", label="_")
        axes.annotate(label, (fee, mean), offset, textcoords="offset points", color=RED, weight="bold", ha="center")
    axes.plot([], [], "o", color=RED, label="selection")
    axes.plot([], [], "o", color=BLUE, markersize=3, alpha=0.45, label="other methods")
    axes.set_title(panel.title, fontsize=9)
    axes.set_xticks(panel.ticks)
    axes.grid(color="#e3e6ea", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors="#30363d")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _point(runs: Sequence[Run]) -> tuple[float, float, float]:
    """Mean cost, mean accuracy and its standard deviation, the last two in percent."""
    accuracies = [100 * run["metrics"]["top1"] for run in runs]
    fee = statistics.fmean(run["full_epoch_equivalents"] for run in runs)
    return fee, statistics.fmean(accuracies), statistics.stdev(accuracies)


if __name__ == "__main__":
    main()
