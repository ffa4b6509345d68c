"""The contact sheet of predictions."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageFont

from fewer.core.types import Caption
from fewer.report.contact_sheet import SHOWN_MAX, Tile, drawable, fitting, font_of, sheet


def test_sheet_is_bounded_and_shows_the_image(tmp_path: Path) -> None:
    """Drawn in its place, and no larger than the most that is shown."""
    Image.new("RGB", (50, 50), (200, 30, 30)).save(tmp_path / "red.png")
    tile = Tile(str(tmp_path / "red.png"), lambda thumbnail: Caption("cat", 0, 0.5))
    one = Image.open(io.BytesIO(sheet([tile], "one", "PNG")))
    assert one.getpixel((100, 130)) == (200, 30, 30)
    (tmp_path / "red.png").unlink()
    few, many = (
        Image.open(io.BytesIO(sheet([tile] * count, "title", "JPEG"))).size for count in (SHOWN_MAX, SHOWN_MAX + 300)
    )
    assert few == many
    assert max(many) < 5000


def test_names_are_cut_to_fit() -> None:
    font = ImageFont.load_default(12)
    text = "a name that is far too long for its place"
    cut, end = fitting(text, 80, font), fitting(text, 80, font, keep_end=True)
    assert text.startswith(cut.removesuffix("…"))
    assert text.endswith(end.removeprefix("…"))
    assert max(font.getlength(cut), font.getlength(end)) <= 80
    assert len(cut) > 5
    assert fitting("short", 80, font) == "short"


def test_names_that_the_font_cannot_draw_get_the_class_number() -> None:
    assert drawable("cat", 7, font_of(13)) == "cat"
    assert drawable("猫 cat", 7, font_of(13)) == "#7 cat"
    assert drawable("猫", 7, font_of(13)) == "#7"


def test_a_task_draws_on_the_thumbnail(tmp_path: Path) -> None:
    """In its place on the sheet, and so that the next image is not drawn on."""
    Image.new("RGB", (50, 50), (200, 30, 30)).save(tmp_path / "red.png")

    def draw(thumbnail: Image.Image) -> Caption:
        thumbnail.paste((0, 0, 255), (0, 0, thumbnail.width, thumbnail.height // 2))
        return Caption("half", 0, 0.5)

    plain = Tile(str(tmp_path / "red.png"), lambda thumbnail: Caption("none", 0, 0.5))
    tiles = [Tile(str(tmp_path / "red.png"), draw), plain]
    picture = Image.open(io.BytesIO(sheet(tiles, "two", "PNG")))
    colours = [picture.getpixel((x, y)) for x in (100, 260) for y in (100, 190)]
    assert colours == [(0, 0, 255), (200, 30, 30), (200, 30, 30), (200, 30, 30)]
