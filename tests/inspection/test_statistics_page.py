"""Page of a source's figures: hostile names, size and contents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from fewer.inspection.inventory import Inventory, Part, inventory_of
from fewer.inspection.probe import ImageFacts, probe
from fewer.inspection.scan import scan
from fewer.inspection.statistics_page import statistics_page
from fewer.inspection.stats import statistics
from zoo import encoded, picture, written

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\u202eevil",
    "🐈‍⬛",
    "nul\x01\x1b[31m",
    "&amp;",
]


def invented(labels: list[str]) -> tuple[Inventory, list[list[ImageFacts]]]:
    raw = encoded(picture(3))
    part = Part(
        "all", HOSTILE[0], [f"{label}/x.png" for label in labels], labels, [len(raw)] * len(labels), lambda _: raw
    )
    facts = probe(raw)
    return Inventory([part], notes=list(HOSTILE)), [[replace(facts, width_px=8 + i % 50) for i in range(len(labels))]]


def test_the_page_escapes_whatever_names_hold() -> None:
    inventory, facts_of = invented(HOSTILE)
    drawn = statistics_page(statistics(HOSTILE[0], inventory, facts_of), inventory)
    assert "<script" not in drawn
    assert "<img src=x" not in drawn
    assert "\x1b" not in drawn
    assert "&lt;script&gt;alert(1)" in drawn
    assert "\u202e" not in drawn
    assert "evil</bdi>" in drawn
    assert "&amp;amp;" in drawn
    assert drawn.count("data:image/jpeg;base64,") == len(HOSTILE)


def test_ten_thousand_classes_make_a_page_below_two_megabytes() -> None:
    inventory, facts_of = invented([f"🐈 class <b>{i}</b> " + "long " * 30 for i in range(10_000)])
    drawn = statistics_page(statistics("many", inventory, facts_of), inventory)
    assert len(drawn.encode()) < 2_000_000
    assert "10,000 classes" in drawn
    assert drawn.count("data:image/jpeg;base64,") <= 192


def test_the_page_holds_no_byte_of_a_file(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    root = written(tmp_path / "f", {"a/0.jpg": encoded(picture(1), "JPEG", exif=exif), "b/0.jpg": b"broken"})
    inventory = inventory_of(f"folder:{root}")
    drawn = statistics_page(statistics("x", inventory, scan(inventory, processes=0)), inventory)
    thumbs = [text.partition('"')[0] for text in drawn.split("data:image/jpeg;base64,")[1:]]
    assert len(thumbs) == 1, "what does not decode has no thumbnail"
    import base64

    assert b"taken at home" not in base64.b64decode(thumbs[0])
    assert "cannot be decoded" in drawn
