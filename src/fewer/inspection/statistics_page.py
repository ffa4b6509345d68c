"""HTML page with the figures of a source: self-contained, in the style of the report, without scripts."""

from __future__ import annotations

from typing import Any

from PIL import Image

from fewer.data.decode.decode import Damaged, decode
from fewer.inspection.annotation_page import ANNOTATION_STYLE, annotation_sections
from fewer.inspection.inventory import Inventory, Part
from fewer.inspection.page_parts import embedded, meter, number
from fewer.inspection.spread import Figures
from fewer.inspection.stats import MEASURES, near_duplicates_as_text
from fewer.report import units
from fewer.report.charts import NO_NUMBERS, Chart, Panel, Role
from fewer.report.markup import Html, details, empty, esc, join, name, section, table, td
from fewer.report.page import frame
from fewer.report.plots import svg
from fewer.report.styles import swatch

PLOTS = ("short_side_px", "aspect", "file_bytes")
THUMB_PX = 72
THUMBS = 192  # on the whole page: some 3 kB each
SHEET_CLASSES = 48
LISTED = 100  # classes shown from either end
ROLES: dict[str, Role] = {"train": "train", "all": "train", "val": "val", "test": "test"}
STYLE = """
.samples{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(20rem,100%),1fr));gap:1rem 1.6rem}
.samples h3{margin:0 0 .35rem;overflow-wrap:anywhere}
.samples p{display:flex;flex-wrap:wrap;gap:4px;margin:0}
#classes .notes{margin-bottom:1rem}
.samples img{width:72px;height:72px;border-radius:.25rem;background:var(--band)}
"""


def statistics_page(figures: Figures, inventory: Inventory) -> str:
    """The whole page, below 2 MB whatever the source.

    Args:
        figures: As `statistics` returns them.
        inventory: The images, of which samples are shown.
    """
    whole = annotation_sections(figures, inventory)
    sheet = [] if whole else [_sheet(figures, inventory)]
    body = join([_head(figures), _classes(figures), *whole, *_plots(figures), _colours(figures), *sheet])
    return frame(figures["source"], body, STYLE + ANNOTATION_STYLE)


def _head(figures: Figures) -> Html:
    splits = figures["splits"]
    images = sum(of["images"] for of in splits.values())
    tiles = [
        (units.count(images), "images"),
        (units.count(len(figures["classes"])), "classes"),
        (units.amount(sum(of["bytes"] for of in splits.values()), "B"), "of files"),
    ]
    tiles += [(units.count(of["images"]), split) for split, of in splits.items() if len(splits) > 1]
    damaged = sum(of["damaged"] for of in splits.values())
    tiles += [(units.count(damaged), "cannot be decoded")] if damaged else []
    alike = figures["near_duplicates"]
    tiles += [(units.count(alike["images"]), "near-duplicates")] if alike["images"] else []
    shown = join(Html(f"<div><dd>{esc(value)}</dd><dt>{esc(label)}</dt></div>") for value, label in tiles)
    told = [*figures["notes"][:20], *near_duplicates_as_text(alike)]
    notes = join(Html(f"<li>{esc(note, 500)}</li>") for note in told)
    listed = f'<ul class="notes">{notes}</ul>' if notes else ""
    return Html(
        f'<div class="top"><p class="brand">fewer · data</p><h1>{name(figures["source"], 200)}</h1>'
        f'<div class="tiles"><dl>{shown}</dl></div>{listed}</div>\n'
    )


def _classes(figures: Figures) -> Html:
    classes, splits = figures["classes"], list(figures["splits"])
    total = sum(of["images"] for of in figures["splits"].values()) or 1  # an image with boxes or a mask shows several
    few = len(classes) <= 2 * LISTED
    shown = classes if few else classes[:LISTED] + classes[-LISTED:]
    largest = classes[0]["images"] if classes else 1
    head = ["class", "images", "share", *(splits if len(splits) > 1 else [])]
    rows = [_class(each, total, largest, splits) for each in shown]
    lead = f"{len(classes):,} classes, the largest first."
    if not few:
        lead += f" The {LISTED} largest and the {LISTED} smallest are shown; --json has all."
    factors = join(
        Html(f"<li>{esc(split)}: the largest class has {esc(units.plain(of['imbalance']))} times the images of the "
             "smallest</li>")
        for split, of in figures["splits"].items() if of["imbalance"]
    )  # fmt: skip
    content = join([Html(f'<ul class="notes">{factors}</ul>'), table(head, rows, "Classes", kind="classes")])
    return section("Classes", esc(lead), content, "classes")


def _class(each: dict[str, Any], total: int, largest: int, splits: list[str]) -> list[Html]:
    width, share = each["images"] / largest, each["images"] / total
    cells = [
        td(name(each["name"])),
        td(esc(units.count(each["images"])), each["images"]),
        meter(width, share),
    ]
    numbers = [each["splits"][split] for split in splits] if len(splits) > 1 else []
    return cells + [td(esc(units.count(value)), value) if value else empty() for value in numbers]


def _plots(figures: Figures) -> list[Html]:
    """Sizes: a histogram each, with its data table, and the percentiles of every measure."""
    measured = {split: of["measures"] for split, of in figures["splits"].items() if of["measures"]}
    if not measured:
        return []
    drawn = join(_figure(key, {split: of[key] for split, of in measured.items()}) for key in PLOTS)
    legend = join(Html(f"<li>{swatch(ROLES[split])}{esc(split)}</li>") for split in measured)
    points = ("min", "p5", "p25", "median", "p75", "p95", "max")
    rows = [
        [td(esc(MEASURES[key])), td(esc(split)), *(number(of[key][point]) for point in points)]
        for key in MEASURES
        for split, of in measured.items()
    ]
    head = ["", "split", "least", "5 %", "25 %", "median", "75 %", "95 %", "most"]
    content = join([
        Html(f'<ul class="legend">{legend}</ul><div class="three">{drawn}</div>'),
        Html("<h3>Percentiles</h3>"), table(head, rows, "Percentiles of sizes", left=2),
    ])  # fmt: skip
    return [section("Sizes", esc("Of images that decode, upright."), content, "sizes")]


def _figure(key: str, spreads: dict[str, Figures]) -> Html:
    title = MEASURES[key]
    if all(spread["min"] == spread["max"] for spread in spreads.values()):
        lone = sorted({spread["min"] for spread in spreads.values()})
        text = " and ".join(units.plain(value) for value in lone)
        return Html(f'<div><h3>{esc(title)}</h3><p class="note">{esc(text)} throughout.</p></div>')
    panel = Panel("share of images, %", [(ROLES[split], _outline(spread)) for split, spread in spreads.items()], True)
    words = f"Histogram of {title} of each split"
    drawing = svg(Chart(f"data-{key}", [panel], title, words, NO_NUMBERS))
    rows = [
        [td(esc(split)), number(low), number(high), td(esc(units.count(count)), count)]
        for split, spread in spreads.items()
        for low, high, count in _bins(spread)
        if count
    ]
    data = details("Table", table(["split", "from", "to", "images"], rows, words), label=f"Table: {words}")
    return Html(f"<div><figure>{drawing}</figure>{data}</div>")


def _bins(spread: Figures) -> list[tuple[float, float, int]]:
    edges, counts = spread["histogram"]["edges"], spread["histogram"]["counts"]
    return list(zip(edges, edges[1:], counts, strict=False))


def _outline(spread: Figures) -> list[tuple[float, float]]:
    """The histogram's outline, as shares."""
    bins = _bins(spread)
    total = sum(count for _, _, count in bins) or 1
    tops = [(x, count / total) for low, high, count in bins for x in (low, high)]
    return [(bins[0][0], 0.0), *tops, (bins[-1][1], 0.0)]


def _colours(figures: Figures) -> Html:
    rows = []
    for split, of in figures["splits"].items():
        kinds = [", ".join(f"{key} {count:,}" for key, count in of[what].items()) for what in ("formats", "modes")]
        colours = [
            Html(f'<td class="n">{esc(" · ".join(f"{value:.4f}" for value in of[what]))}</td>') if of[what] else empty()
            for what in ("mean", "std")
        ]
        rows.append([td(esc(split)), *(td(esc(kind, 500)) for kind in kinds), *colours])
    head = ["split", "formats", "modes", "mean", "deviation"]
    lead = "As stored, and as decoded: red, green and blue, where white is 1."
    return section("Colours", esc(lead), table(head, rows, "Formats and colours", left=3), "colours")


def _sheet(figures: Figures, inventory: Inventory) -> Html:
    """A few images a class, decoded and encoded again: no byte of a file reaches the page."""
    names = [each["name"] for each in figures["classes"]]
    step = max(1, -(-len(names) // SHEET_CLASSES))
    chosen = sorted(names[::step])
    places: dict[str, list[tuple[Part, int]]] = {label: [] for label in chosen}
    for part in inventory.parts:
        for at, label in enumerate(part.labels):
            if label in places:
                places[label].append((part, at))
    each = min(12, max(1, THUMBS // max(1, len(chosen))))
    cells = []
    for label in chosen:
        found = places[label]
        count = min(each, len(found))
        thumbs = [_thumb(*found[i * len(found) // count]) for i in range(count)]
        cells.append(Html(f"<div><h3>{name(label)}</h3><p>{join(thumbs)}</p></div>"))
    if not cells:
        return Html("")
    lead = "Images at even distances from each class" + ("." if step == 1 else f"; every {step}th class.")
    return section("Samples", esc(lead), Html(f'<div class="samples">{join(cells)}</div>'), "samples")


def _thumb(part: Part, at: int) -> Html:
    try:
        image = Image.fromarray(decode(part.read(at), THUMB_PX))
    except (Damaged, OSError, MemoryError):
        return Html("")
    return embedded(image, part.names[at])
