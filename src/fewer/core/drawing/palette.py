"""Colours of classes: the same class has the same one in every picture of every run."""

from __future__ import annotations

import colorsys
from functools import lru_cache

Color = tuple[int, int, int]

VOID = 255  # of a mask: what is not learnt and not counted
MASK_CLASSES_MAX = VOID  # ids 0 to 254
# Neighbours differ in hue, all in hue or lightness; none is near black, white or grey.
_CHOSEN = bytes.fromhex(
    "e6323c 2fb42f 1473f0 ffd21e 00d2e6 f014b4 ff8c1e 8c50e6 b4e632 f0a0f0 0a8ca0 a0642d 00e696 ff78a0 7896ff c8a064 "
    "0f783c b40f64"
)
_GOLDEN = 0.618034  # of a turn: hues that follow each other so never come close to each other soon
_VOID_COLOR = (128, 128, 128)


@lru_cache(maxsize=1024)
def color_of(number: int) -> Color:
    """The colour of a class by its number, from 0; grey for `VOID`.

    The first are chosen by eye, further ones follow each other by the golden section of the hues.
    """
    if number == VOID:
        return _VOID_COLOR
    if 3 * number < len(_CHOSEN):
        red, green, blue = _CHOSEN[3 * number : 3 * number + 3]
        return red, green, blue
    hue, level = number * _GOLDEN % 1, number % 3
    parts = colorsys.hsv_to_rgb(hue, (0.9, 0.55, 0.75)[level], (0.95, 0.9, 0.6)[level])
    return round(255 * parts[0]), round(255 * parts[1]), round(255 * parts[2])


def ink_on(color: Color) -> Color:
    """Black or white, whichever can be read better on a colour."""
    red, green, blue = ((part / 255) ** 2.2 for part in color)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (0, 0, 0) if light > 0.18 else (255, 255, 255)


def palette() -> list[int]:
    """The colours of the ids 0 to 255, as Pillow takes a palette: red, green and blue in turn."""
    return [part for number in range(256) for part in color_of(number)]
