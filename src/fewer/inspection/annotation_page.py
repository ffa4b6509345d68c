"""Sections of the page of figures about boxes and masks: counts, sizes, pairs of classes, and drawn pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from fewer.core.drawing.boxes import Marked, draw_boxes
from fewer.core.drawing.masks import draw_mask
from fewer.core.drawing.palette import color_of
from fewer.core.errors import DataError
from fewer.data.decode.decode import Damaged, decode_whole
from fewer.inspection.annotated import BoxPart
from fewer.inspection.annotation_stats import MEASURES, SMALL_PX, pairs_together
from fewer.inspection.inventory import Inventory, Part
from fewer.inspection.page_parts import embedded, meter, number
from fewer.inspection.spread import Figures
from fewer.report import units
from fewer.report.markup import Html, empty, esc, join, name, section, table, td

_PICTURES = 12
_PICTURE_PX = 288
_CLASSES_MAX, _PAIRS_MAX, _TABLE_MAX = 200, 40, 20
ANNOTATION_STYLE = """
.drawn{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(18rem,100%),1fr));gap:.8rem}
.drawn img{width:100%;height:auto;border-radius:.25rem;background:var(--band)}
.drawn figcaption{overflow-wrap:anywhere;font-size:.85em}
.key i{display:inline-block;width:.8em;height:.8em;border-radius:.15em;margin-right:.4em}
"""


def annotation_sections(figures: dict[str, Any], inventory: Inventory) -> list[Html]:
    """The sections; none for images that have classes alone.

    Args:
        figures: As `fewer.inspection.stats.statistics` returns them.
        inventory: The images, of which some are drawn.
    """
    found: list[Html] = []
    if boxes := figures.get("boxes"):
        found += [_boxes(boxes), _small(boxes), _together(boxes["together"])]
    if masks := figures.get("masks"):
        found += [_masks(masks), _together(masks["together"])]
    return [*found, _pictures(inventory)] if found else []


def _boxes(boxes: Figures) -> Html:
    splits = boxes["splits"]
    rows = [
        [td(esc(split)), *(td(esc(f"{of[key]:,}"), of[key]) for key in ("images", "background", "objects", "crowds"))]
        for split, of in splits.items()
    ]
    counts = table(["split", "images", "without objects", "objects", "crowds"], rows, "Objects of each split")
    points = ("min", "p5", "p25", "median", "p75", "p95", "max")
    rows = [
        [td(esc(MEASURES[key])), td(esc(split)), *(number(spread[point]) for point in points)]
        for key in MEASURES
        for split, of in splits.items()
        if (spread := of["measures"].get(key))
    ]
    head = ["", "split", "least", "5 %", "25 %", "median", "75 %", "95 %", "most"]
    by_class = _by_class(boxes["classes"], "objects", list(splits))
    content = [counts, Html("<h3>Percentiles</h3>"), table(head, rows, "Objects an image and sizes", left=2)]
    content += [Html("<h3>Objects of each class</h3>"), by_class]
    lead = "The side of a box is the root of its area, in pixels of the picture."
    return section("Boxes", esc(lead), join(content), "boxes")


def _small(boxes: Figures) -> Html:
    rows = [
        [td(esc(split)), td(esc(f"{row['side_px']}"), row["side_px"]),
         *(td(esc(units.share(row[f"under_{px}"])), row[f"under_{px}"]) for px in SMALL_PX)]
        for split, of in boxes["splits"].items()
        for row in of["small"]
    ]  # fmt: skip
    lead = (
        "Share of boxes that are smaller than so many pixels once the picture's longer side has as many as a stage "
        "shows. Anchors and grids of most detectors begin at 8 to 32 px."
    )
    head = ["split", "side, px", *(f"under {px} px" for px in SMALL_PX)]
    return section("Small boxes", esc(lead), table(head, rows, "Shares of small boxes"), "small-boxes")


def _masks(masks: Figures) -> Html:
    splits = masks["splits"]
    rows = []
    for split, of in splits.items():
        share = of["void"] / (of["pixels"] or 1)
        pixels = td(esc(units.count(of["pixels"])), of["pixels"])
        bare = [td(esc(f"{of[key]:,}"), of[key]) for key in ("images", "damaged")]
        rows.append([td(esc(split)), bare[0], pixels, td(esc(units.share(share)), share), bare[1]])
    counts = table(["split", "images", "pixels", "void", "masks of no use"], rows, "Masks of each split")
    by_class = _by_class(masks["classes"], "pixels", list(splits))
    content = join([counts, Html("<h3>Pixels of each class</h3>"), by_class])
    return section(
        "Masks", esc("Void pixels belong to no class, and are left out of loss and metrics."), content, "masks"
    )


def _by_class(classes: list[Figures], key: str, splits: list[str]) -> Html:
    total, largest = sum(each[key] for each in classes) or 1, max((each[key] for each in classes), default=0) or 1
    rows = []
    for each in classes[:_CLASSES_MAX]:
        cells = [
            td(name(each["name"])),
            td(esc(f"{each[key]:,}"), each[key]),
            meter(each[key] / largest, each[key] / total),
        ]
        rows.append(cells + ([td(esc(f"{each['splits'][split]:,}"), each["splits"][split]) for split in splits]
                             if len(splits) > 1 else []))  # fmt: skip
    return table(
        ["class", key, "share", *(splits if len(splits) > 1 else [])], rows, f"{key} of each class", kind="classes"
    )


def _together(found: Figures) -> Html:
    lead = "Images that show both classes, and their share of the images that show either."
    both, classes = found["images"], found["classes"]
    rows = [
        [td(name(one)), td(name(other)), td(esc(f"{images:,}"), images), td(esc(units.share(share)), share)]
        for share, one, other, images in pairs_together(found)[:_PAIRS_MAX]
    ]
    content = [table(["class", "class", "images", "share"], rows, "Classes that occur together", left=2)]
    if 1 < len(classes) <= _TABLE_MAX:
        cells = [
            [td(name(label)), *(td(esc(f"{n:,}"), n) if n else empty() for n in row)]
            for label, row in zip(classes, both, strict=True)
        ]
        content += [
            Html("<h3>Images that show both</h3>"),
            table(["", *classes], cells, "Images that show both classes"),
        ]
    return section("Classes together", esc(lead), join(content), "together")


def _pictures(inventory: Inventory) -> Html:
    """Whole pictures at even distances, decoded and encoded again: no byte of a file reaches the page."""
    places = [(part, at) for part in inventory.parts if part.annotated is not None for at in range(len(part))]
    count = min(_PICTURES, len(places))
    drawn = [_picture(*places[i * len(places) // count]) for i in range(count)]
    classes = next((part.annotated.classes for part in inventory.parts if part.annotated is not None), [])
    key = join(
        Html(f'<li><i style="background:#{bytes(color_of(at)).hex()}"></i>{name(label)}</li>')
        for at, label in enumerate(classes[:_TABLE_MAX])
    )
    content = Html(f'<ul class="legend key">{key}</ul><div class="drawn">{join(drawn)}</div>')
    return section("Pictures", esc("Images at even distances, with what they are annotated with."), content, "pictures")


def _picture(part: Part, at: int) -> Html:
    try:
        whole = decode_whole(part.read(at))
        image = Image.fromarray(np.ascontiguousarray(whole.picture))
        image.thumbnail((_PICTURE_PX, _PICTURE_PX))
        _draw(image, part, at, (whole.width, whole.height))
    except (Damaged, DataError, OSError, MemoryError):
        return Html("")
    label = part.names[at]
    return Html(f"<figure>{embedded(image, label)}<figcaption>{esc(label, 120)}</figcaption></figure>")


def _draw(image: Image.Image, part: Part, at: int, own_px: tuple[int, int]) -> None:
    found = part.annotated
    if isinstance(found, BoxPart):
        here = found.objects.image(found.ids[at])
        rows = zip(
            found.objects.box_A4[here].tolist(),
            found.objects.class_A[here].tolist(),
            (found.objects.crowd_A | found.objects.ignored_A)[here],
            strict=True,
        )
        marked = [
            Marked((box[0], box[1], box[2], box[3]), label, found.classes[label], None, bool(is_dashed))
            for box, label, is_dashed in rows
        ]
        draw_boxes(image, marked, own_px)
    elif found is not None:
        draw_mask(image, found.read(at))
