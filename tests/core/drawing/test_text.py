"""Names on pictures: cut to the room that there is, and in characters that the font has."""

from __future__ import annotations

from PIL import ImageFont

from fewer.core.drawing.text import drawable, fitting, font_of


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
