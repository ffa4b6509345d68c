"""Charts drawn by matplotlib, as SVG that belongs to the page and as PNG files, and images for the page.

For the page matplotlib draws with stand-in colours, which are then replaced by the page's CSS variables: so a plot
follows the page into the dark, takes its typeface, and stays small. PNG files take the light colours of the same style
sheet. Nothing here depends on pyplot or on the user's matplotlibrc.
"""

from __future__ import annotations

import base64
import io
import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from fewer.report.charts import NAMES, POINTS, Chart, Panel, Role
from fewer.report.markup import Html, esc
from fewer.report.styles import STYLES
from fewer.report.values import brief, thin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Paint = Callable[[str], str]  # from the name of a CSS variable to a colour


@dataclass(frozen=True)
class Sheet:
    """Sizes of a drawing in points, its resolution aside.

    Attributes:
        width, panel: Of a drawing, and height of each of its panels.
        top, bottom: Room above the first and below the last panel.
        left, right: Room beside the panels.
        gap: Between two panels, in heights of a panel.
    """

    width: float
    panel: float
    top: float
    bottom: float
    left: float
    right: float
    gap: float


PAGE = Sheet(310, 132, 22, 41, 42, 8, 0.36)
FILE = Sheet(620, 190, 82, 44, 62, 18, 0.30)
FAINT: tuple[Role, ...] = ("steps", "class")  # many curves at once
CLIPPED = 3  # points above the axis whose values are written beside them, at most
FILE_DPI = 144
FILE_COMPRESSION = 2  # of zlib's 9: drawing lasts half as long, and the files are still small
_VARIABLES = (
    "ink",
    "ink2",
    "grid",
    "band",
    "star",
    "card",
    *dict.fromkeys(style.variable for style in STYLES.values()),
)
_STAND_IN = {variable: f"#0101{i:02x}" for i, variable in enumerate(_VARIABLES, start=1)}


def svg(chart: Chart) -> Html:
    """A chart as inline SVG."""
    with _drawn(chart, PAGE, _STAND_IN.__getitem__) as figure:
        return _svg(figure, chart)


def png(chart: Chart, title: str, star: str) -> bytes:
    """A chart as a PNG file that stands for itself.

    Args:
        chart: The chart.
        title: Stands above the panels.
        star: What the star means, for the legend.
    """
    light = _palette()
    with _drawn(chart, FILE, light.__getitem__) as figure:
        _legend(figure, chart, title, star, light)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=FILE_DPI, facecolor=light["card"], metadata=_bare(),
                       pil_kwargs={"compress_level": FILE_COMPRESSION})  # fmt: skip
        return buffer.getvalue()


def _palette() -> dict[str, str]:
    """The page's light colours by name."""
    css = resources.files("fewer.report").joinpath("page.css").read_text(encoding="utf-8")
    return dict(re.findall(r"--([\w-]+):(#[0-9a-f]+)", css.split("}")[0]))


def _bare() -> dict[str, Any]:
    return {"Software": None}  # without matplotlib's version: the same bytes from the same rows


@contextmanager
def _drawn(chart: Chart, sheet: Sheet, paint: Paint) -> Iterator[Figure]:
    """The drawing itself, in whatever form it is saved."""
    with _canvas(len(chart.panels), sheet) as (figure, axes):
        for panel, ax in zip(chart.panels, axes, strict=True):
            _draw(ax, panel, paint)
            _frame(ax, panel.name, sheet, paint)
            for x in chart.marks:
                ax.axvline(x, color=paint("ink2"), linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)
        _bands(axes, chart.bands, paint)
        axes[-1].set_xlabel(chart.x_name, color=paint("ink2"))
        _ticks(axes[-1], chart)
        yield figure


@contextmanager
def _canvas(count: int, sheet: Sheet) -> Iterator[tuple[Figure, list[Axes]]]:
    with _quiet():
        import matplotlib as mpl
        from matplotlib.figure import Figure

        inner = sheet.panel * (count + sheet.gap * (count - 1))
        height = inner + sheet.top + sheet.bottom
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update({"font.size": 11, "svg.fonttype": "none", "text.parse_math": False, "path.snap": False})
            figure = Figure(figsize=(sheet.width / 72, height / 72))
            axes = figure.subplots(count, 1, sharex=True, squeeze=False)
            figure.subplots_adjust(
                left=sheet.left / sheet.width, right=1 - sheet.right / sheet.width, bottom=sheet.bottom / height,
                top=1 - sheet.top / height, hspace=sheet.gap,
            )  # fmt: skip
            yield figure, [row[0] for row in axes]


@contextmanager
def _quiet() -> Iterator[None]:
    """Missing glyphs, a font cache being built: not what somebody who trains wants to read."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _draw(ax: Axes, panel: Panel, paint: Paint) -> None:
    for role, points in panel.lines:
        style = STYLES[role]
        shown = [points[i] for i in thin([y for _, y in points], POINTS)]
        marker = style.marker if len(shown) <= 40 else ""
        ax.plot(
            [x for x, _ in shown], [y for _, y in shown], color=paint(style.variable), linewidth=style.width,
            linestyle=style.dash, marker=marker, markersize=3.4, alpha=0.45 if role in FAINT else None,
        )  # fmt: skip
    for x, y, text, side in panel.labels:
        place = {"above": (2, "bottom"), "below": (-2, "top")}[side]
        ax.annotate(text, (x, y), xytext=(-2, place[0]), textcoords="offset points", ha="right", va=place[1],
                    fontsize=9, color=paint("ink2"), zorder=6)  # fmt: skip
    for i, spot in enumerate(panel.spots):
        color, marker = paint(STYLES[spot.role].variable), STYLES[spot.role].marker
        ax.plot([spot.x, spot.x], [spot.low, spot.high], color=color, linewidth=1.0, alpha=0.6, zorder=2)
        ax.plot([spot.x], [spot.y], color=color, marker=marker, markersize=4.6 if spot.label else 3.4, zorder=3)
        ax.annotate(spot.label, (spot.x, spot.y), xytext=(5, (3, -11)[i % 2]), textcoords="offset points", fontsize=10,
                    color=paint("ink"), zorder=4)  # fmt: skip
    if panel.top is not None:
        low = min((y for _, points in panel.lines for _, y in points), default=0.0)
        low -= 0.05 * abs(panel.top - low)
        ax.set_ylim(low if math.isfinite(low) else None, panel.top)  # its own choice went by what is cut off
        _clipped(ax, panel, panel.top, paint)
    if panel.star is not None:
        ax.plot(*panel.star, marker="*", markersize=12, color=paint("star"), markeredgecolor=paint("ink2"),
                markeredgewidth=0.6, zorder=5, clip_on=False)  # fmt: skip
    if panel.percent:
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, -0.02), min(high, 1.02))
        ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}")
    elif max(map(abs, ax.get_ylim())) < 0.01:
        ax.yaxis.set_major_formatter(lambda value, _: brief(value))  # the margin has room for six characters


def _clipped(ax: Axes, panel: Panel, top: float, paint: Paint) -> None:
    """Arrowheads at the edge where points lie above it, each with the value that it stands for."""
    for x, y in panel.clipped:
        ax.plot([x], [top], marker="^", markersize=5, color=paint("ink2"), linestyle="none", clip_on=False, zorder=5)
        if len(panel.clipped) <= CLIPPED:
            ax.annotate(f"{y:.3g}", (x, top), xytext=(5, -3), textcoords="offset points", va="top", fontsize=9,
                        color=paint("ink2"), zorder=6)  # fmt: skip


def _frame(ax: Axes, name: str, sheet: Sheet, paint: Paint) -> None:
    ink = paint("ink2")
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(ink)
    ax.spines["bottom"].set_linewidth(0.6)
    ax.tick_params(colors=ink, which="both", length=0, pad=4)
    ax.tick_params(axis="x", length=3, width=0.6)
    ax.grid(True, axis="y", color=paint("grid"), linewidth=0.7)
    ax.set_axisbelow(True)
    x = -0.76 * sheet.left / (sheet.width - sheet.left - sheet.right)
    ax.set_title(name, loc="left", fontsize=11.5, color=ink, pad=6, x=x, fontweight="bold")
    ax.margins(x=0.02)


def _ticks(ax: Axes, chart: Chart) -> None:
    from matplotlib.ticker import MaxNLocator

    if not chart.ticks:
        farthest = max((spot.x for panel in chart.panels for spot in panel.spots), default=0.0)
        ax.set_xlim(left=0, right=max(ax.get_xlim()[1], 1.06 * farthest))  # room for a spot's number
        ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=chart.whole_x))
        return
    places, texts = zip(*chart.ticks, strict=True)
    room = 0.06 * (max(places) - min(places)) or 0.5
    ax.set_xlim(min(places) - room, max(places) + room)
    ax.set_xticks(places, texts)


def _bands(axes: Sequence[Axes], bands: Sequence[tuple[float, float, str]], paint: Paint) -> None:
    """Every other stage is shaded; a label stands where it has room."""
    if len(bands) < 2:
        return
    left, right = axes[0].get_xlim()
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, high + 0.16 * (high - low))  # room for the labels above the curves
    for i, (begin, end, label) in enumerate(bands):
        for ax in axes:
            if i % 2 == 0:
                ax.axvspan(begin, end, facecolor=paint("band"), edgecolor="none", zorder=0)
        if (end - begin) / max(right - left, 1e-9) > 0.13:
            axes[0].annotate(
                label, ((begin + end) / 2, 1), xycoords=("data", "axes fraction"), xytext=(0, -2),
                textcoords="offset points", ha="center", va="top", fontsize=10, color=paint("ink2"),
            )  # fmt: skip


def _legend(figure: Figure, chart: Chart, title: str, star: str, light: dict[str, str]) -> None:
    """Title and one line that says what is what; the page has both in HTML."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color=light[style.variable], linewidth=style.width, linestyle=style.dash, marker=style.marker,
               markersize=3.4, label=NAMES[role])
        for role, style in STYLES.items() if role in chart.roles and role in NAMES
    ]  # fmt: skip
    if any(panel.star for panel in chart.panels):
        handles.append(Line2D([], [], color=light["star"], marker="*", markersize=11, linestyle="none",
                              markeredgecolor=light["ink2"], markeredgewidth=0.6, label=star))  # fmt: skip
    if len(chart.bands) > 1:
        handles.append(Patch(facecolor=light["band"], edgecolor=light["grid"], label="stages (image side)"))
    if chart.marks:
        handles.append(Line2D([], [], color=light["ink2"], linewidth=0.8, linestyle=(0, (1, 1.5)), label="resumed"))
    height = figure.get_figheight() * 72
    figure.text(14 / FILE.width, 1 - 10 / height, title, fontsize=12.5, color=light["ink"], va="top", weight="bold")
    if handles:
        figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(9 / FILE.width, 1 - 24 / height),
                      ncols=4, frameon=False, fontsize=8.5, labelcolor=light["ink2"], handlelength=2.2,
                      columnspacing=1.0, handletextpad=0.5, borderpad=0.3)  # fmt: skip


_VIEW_BOX = "VIEW BOX"  # stands for matplotlib's until it is known


def _svg(figure: Figure, chart: Chart) -> Html:
    import matplotlib as mpl

    mpl.rcParams["svg.hashsalt"] = chart.key
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    label = f"{', '.join(panel.name for panel in chart.panels)} against {chart.x_name}"
    head = (
        f'<svg class="plot" role="img" aria-label="{esc(label)}" viewBox="{_VIEW_BOX}"><title>{esc(label)}</title>'
        f"<desc>{esc(chart.description, 600)}</desc>"
    )
    return Html(_tidy(buffer.getvalue(), head, chart.key))


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
    # A hundredth of a point is finer than any screen; what stands between the tags is text, and stays.
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), svg)
    for variable, color in _STAND_IN.items():
        svg = svg.replace(color, f"var(--{variable})")
    svg = re.sub(r'<svg [^>]*viewBox="([^"]*)"[^>]*>', lambda m: head.replace(_VIEW_BOX, m[1], 1), svg, count=1)
    return re.sub(r"\s*\n\s*", "\n", svg).strip()


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
    imsave(buffer, pixels, format="png", metadata=_bare())
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Html(f'<img class="heat" alt="{esc(label)}" src="data:image/png;base64,{data}">')
