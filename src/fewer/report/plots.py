"""Curves and images drawn by matplotlib as SVG and PNG that belong to the page.

matplotlib is told stand-in colours, which are then replaced by the page's CSS variables: so a plot follows the page
into the dark, takes its typeface, and stays small. Nothing here depends on pyplot or on the user's matplotlibrc.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fewer.report.history import Line, thin
from fewer.report.markup import Html, esc

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 800  # of a curve in a plot; a plot is some 350 px wide
WIDTH, PANEL = 310.0, 132.0  # in points, of a plot and of one panel of it
INK, GRID, BAND = "#010101", "#010102", "#010103"
VARIABLES = {INK: "ink2", GRID: "grid", BAND: "band", "#010104": "star"}
Role = Literal["train", "steps", "val", "test", "other"]


@dataclass(frozen=True)
class Style:
    """How a curve is told from the others: by colour, dash and marker, so that colour alone never matters."""

    variable: str
    dash: Literal["solid", "dashed", "dotted", "dashdot"]
    marker: str
    width: float = 1.6

    @property
    def color(self) -> str:
        """The stand-in colour that becomes the CSS variable."""
        return f"#0102{int(self.variable[1:]):02x}"


STYLES: dict[Role, Style] = {
    "train": Style("s1", "solid", "o"),
    "steps": Style("s1", "solid", "", 0.6),
    "val": Style("s2", "dashed", "s"),
    "test": Style("s3", "dotted", "D"),
    "other": Style("s4", "solid", "o"),
}
VARIABLES |= {style.color: style.variable for style in STYLES.values()}


@dataclass
class Panel:
    """One pair of axes.

    Attributes:
        name: Stands above the panel.
        lines: Curves with their roles.
        percent: The values are shares in [0, 1].
        star: Where the model that was handed over stands.
        top: Upper limit of the values, if a spike should not flatten the rest.
    """

    name: str
    lines: list[tuple[Role, Line]] = field(default_factory=list)
    percent: bool = False
    star: tuple[float, float] | None = None
    top: float | None = None
    log: bool = False


def plot(
    key: str,
    panels: Sequence[Panel],
    x_name: str,
    description: str,
    *,
    bands: Sequence[tuple[float, float, str]] = (),
    marks: Sequence[float] = (),
    whole_x: bool = False,
) -> Html:
    """Panels one above the other on one x axis, as inline SVG.

    Args:
        key: Makes the ids within the SVG unique on the page.
        panels: From top to bottom.
        x_name: Label of the x axis.
        description: What the plot shows, for those who do not see it.
        bands: Begin, end, label of stages; drawn only if there are several.
        marks: Places of thin vertical lines (resumed runs).
        whole_x: The x axis counts whole things.
    """
    with _canvas(len(panels)) as (figure, axes):
        for panel, ax in zip(panels, axes, strict=True):
            _draw(ax, panel)
            _frame(ax, panel.name)
            for x in marks:
                ax.axvline(x, color=INK, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)
        _bands(axes, bands)
        axes[-1].set_xlabel(x_name, color=INK)
        _ticks(axes[-1], whole_x)
        return _svg(figure, key, x_name, panels, description)


@contextmanager
def _canvas(count: int) -> Iterator[tuple[Figure, list[Axes]]]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    height = PANEL * count + 26
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"font.size": 11, "svg.fonttype": "none", "text.parse_math": False, "path.snap": False})
        figure = Figure(figsize=(WIDTH / 72, height / 72))
        axes = figure.subplots(count, 1, sharex=True, squeeze=False)
        figure.subplots_adjust(
            left=0.135, right=0.975, bottom=41 / height, top=1 - 22 / height, hspace=0.36 if count > 1 else 0
        )
        yield figure, [row[0] for row in axes]


def _draw(ax: Axes, panel: Panel) -> None:
    for role, points in panel.lines:
        style = STYLES[role]
        shown = [points[i] for i in thin([y for _, y in points], POINTS)]
        marker = style.marker if len(shown) <= 40 else ""
        ax.plot(
            [x for x, _ in shown], [y for _, y in shown], color=style.color, linewidth=style.width,
            linestyle=style.dash, marker=marker, markersize=3.4, alpha=0.45 if role == "steps" else None,
        )  # fmt: skip
    if panel.log:
        ax.set_yscale("log")
    if panel.top is not None:
        ax.set_ylim(top=panel.top)
    if panel.star is not None:
        ax.plot(*panel.star, marker="*", markersize=12, color="#010104", markeredgecolor=INK, markeredgewidth=0.6,
                zorder=5, clip_on=False)  # fmt: skip
    if panel.percent:
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, -0.02), min(high, 1.02))
        ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}")


def _frame(ax: Axes, name: str) -> None:
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(INK)
    ax.spines["bottom"].set_linewidth(0.6)
    ax.tick_params(colors=INK, which="both", length=0, pad=4)
    ax.tick_params(axis="x", length=3, width=0.6)
    ax.grid(True, axis="y", color=GRID, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.set_title(name, loc="left", fontsize=11.5, color=INK, pad=6, x=-0.12, fontweight="bold")
    ax.margins(x=0.02)


def _ticks(ax: Axes, whole_x: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=whole_x))


def _bands(axes: Sequence[Axes], bands: Sequence[tuple[float, float, str]]) -> None:
    """Every other stage is shaded; a label stands where it has room."""
    if len(bands) < 2:
        return
    left, right = axes[0].get_xlim()
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, high + 0.16 * (high - low))  # room for the labels above the curves
    for i, (begin, end, label) in enumerate(bands):
        for ax in axes:
            if i % 2 == 0:
                ax.axvspan(begin, end, facecolor=BAND, edgecolor="none", zorder=0)
        if (end - begin) / max(right - left, 1e-9) > 0.13:
            axes[0].annotate(
                label, ((begin + end) / 2, 1), xycoords=("data", "axes fraction"), xytext=(0, -2),
                textcoords="offset points", ha="center", va="top", fontsize=10, color=INK,
            )  # fmt: skip


def _svg(figure: Figure, key: str, x_name: str, panels: Sequence[Panel], description: str) -> Html:
    import matplotlib as mpl

    mpl.rcParams["svg.hashsalt"] = key
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    label = f"{', '.join(panel.name for panel in panels)} against {x_name}"
    head = (
        f'<svg class="plot" role="img" aria-label="{esc(label)}" viewBox="\\1"><title>{esc(label)}</title>'
        f"<desc>{esc(description, 600)}</desc>"
    )
    return Html(_tidy(buffer.getvalue(), head, key))


def _tidy(svg: str, head: str, key: str) -> str:
    """Makes matplotlib's document a part of the page: no prologue, no foreign names, the page's colours and type."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'#([\w.-]+)[")]', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{key}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{key}-", svg)  # ids are the page's, not the plot's
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r"font: (?:bold |700 )?([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r' ?font-family: [^;"]*;?| transform="rotate\(-0 [^"]*"', "", svg)
    svg = re.sub(r"(\d\.\d\d)\d+", r"\1", svg)  # a hundredth of a point is finer than any screen
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, f"var(--{variable})")
    svg = re.sub(r'<svg [^>]*viewBox="([^"]*)"[^>]*>', head, svg, count=1)
    return re.sub(r"\s*\n\s*", "\n", svg).strip()


def swatch(role: Role) -> Html:
    """A short piece of a curve, for the legend."""
    style = STYLES[role]
    dashes = {"dashed": ' stroke-dasharray="6 3"', "dotted": ' stroke-dasharray="2 2.5"'}.get(style.dash, "")
    shapes = {
        "o": '<circle cx="14" cy="6" r="3"/>', "s": '<rect x="11" y="3" width="6" height="6"/>',
        "D": '<path d="M14 2l4 4-4 4-4-4z"/>',
    }  # fmt: skip
    return Html(
        f'<svg class="swatch" viewBox="0 0 28 12" aria-hidden="true" style="fill:var(--{style.variable});'
        f'stroke:var(--{style.variable})"><path d="M0 6h28" fill="none" stroke-width="{style.width}"{dashes}/>'
        f"{shapes.get(style.marker, '')}</svg>"
    )


def heat_image(rows: Sequence[Sequence[float]], label: str) -> Html:
    """A square matrix of shares in [0, 1] as a PNG: the diagonal blue, mistakes orange, both by opacity."""
    import numpy as np
    from matplotlib.image import imsave

    share = np.clip(np.asarray(rows, dtype=np.float64), 0.0, 1.0)
    pixels = np.zeros((*share.shape, 4))
    pixels[...] = (0.85, 0.37, 0.08, 0.0)
    pixels[np.arange(len(share)), np.arange(len(share)), :3] = (0.22, 0.53, 0.87)
    pixels[..., 3] = np.sqrt(share)  # the root: a class that takes 4 % of another's images should be visible
    buffer = io.BytesIO()
    bare: dict[str, Any] = {"Software": None}  # without matplotlib's version
    imsave(buffer, pixels, format="png", metadata=bare)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Html(f'<img class="heat" alt="{esc(label)}" src="data:image/png;base64,{data}">')
