"""The visible part of a box under a homography: convex polygons, clipped by half planes."""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom
Plane = tuple[float, float, float]  # a, b, c: the half plane in which a x + b y + c >= 0


def seen(
    box: Box, part: Box, to_view_33: Sequence[Sequence[float]], width_px: int, height_px: int
) -> tuple[Box, float]:
    """The smallest box around what a view shows of a box, and which share of the box's area that is.

    Everything is clipped in the picture, where half planes of the view are half planes too. The view's depth has one
    sign on either side of a perspective's horizon, and a map that mirrors may have the negative one everywhere.

    Args:
        box: In the picture.
        part: The part of the picture that can be seen at all.
        to_view_33: The map from the picture to the view.
        width_px: Width of the view.
        height_px: Its height.
    """
    left, top, right, bottom = _common(box, part)
    area = (box[2] - box[0]) * (box[3] - box[1])
    if not (left < right and top < bottom and area > 0):
        return (0.0, 0.0, 0.0, 0.0), 0.0
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    pieces = [clipped(corners, _planes(to_view_33, (width_px, height_px), sign)) for sign in (1, -1)]
    share = sum(map(area_of, pieces)) / area
    return _around([_mapped(point, to_view_33) for piece in pieces for point in piece], width_px, height_px), share


def clipped(polygon: Sequence[Point], planes: Sequence[Plane]) -> list[Point]:
    """What lies of a convex polygon in all of some half planes (Sutherland & Hodgman 1974)."""
    found = list(polygon)
    for a, b, c in planes:
        height = [a * x + b * y + c for x, y in found]
        kept: list[Point] = []
        for place, (x, y) in enumerate(found):
            (x0, y0), before, here = found[place - 1], height[place - 1], height[place]
            if (before >= 0) != (here >= 0):
                share = before / (before - here)
                kept.append((x0 + share * (x - x0), y0 + share * (y - y0)))
            if here >= 0:
                kept.append((x, y))
        found = kept
    return found


def area_of(polygon: Sequence[Point]) -> float:
    """Area of a polygon."""
    pairs = zip(polygon, [*polygon[1:], *polygon[:1]], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2


def _common(one: Box, other: Box) -> Box:
    return max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])


def _planes(to_view_33: Sequence[Sequence[float]], sides_px: tuple[int, int], sign: int) -> list[Plane]:
    """The view's four sides as half planes of the picture, where the view's depth has a sign."""
    depth = to_view_33[2]
    planes: list[Plane] = []
    for row, side_px in zip(to_view_33[:2], sides_px, strict=True):
        low = [sign * value for value in row]
        high = [sign * (side_px * far - value) for far, value in zip(depth, row, strict=True)]
        planes += [(low[0], low[1], low[2]), (high[0], high[1], high[2])]
    return planes


def _mapped(point: Point, map_33: Sequence[Sequence[float]]) -> Point:
    x, y, depth = (a * point[0] + b * point[1] + c for a, b, c in map_33)
    return (x / depth, y / depth) if depth else (x, y)


def _around(points: Sequence[Point], width_px: int, height_px: int) -> Box:
    """The smallest box around points, within the view."""
    if not points:
        return 0.0, 0.0, 0.0, 0.0
    across, down = (
        [min(max(place, 0.0), float(side_px)) for place in places]
        for places, side_px in zip(zip(*points, strict=True), (width_px, height_px), strict=True)
    )
    return min(across), min(down), max(across), max(down)
