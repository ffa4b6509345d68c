"""The contact sheet of predictions."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from fewer.core.types import Caption
from fewer.report.contact_sheet import SHOWN_MAX, Tile, sheet


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


def test_whole_pictures_lie_in_the_middle_of_larger_cells(tmp_path: Path) -> None:
    """A task draws on the picture alone, however wide it is, and what is smaller than its cell is enlarged."""
    sizes: list[tuple[int, int]] = []

    def draw(thumbnail: Image.Image) -> Caption:
        sizes.append(thumbnail.size)
        return Caption("3 cats", 0, 0.5)

    tiles = []
    for name, size in {"wide": (1000, 250), "high": (40, 80)}.items():
        Image.new("RGB", size, (200, 30, 30)).save(tmp_path / f"{name}.png")
        tiles.append(Tile(str(tmp_path / f"{name}.png"), draw))
    tiles.append(Tile(str(tmp_path / "gone.png"), draw))
    plain, whole = (
        Image.open(io.BytesIO(sheet(tiles, "three", "PNG", classes))) for classes in (None, ["cat", "猫" * 400])
    )
    assert sizes[3:] == [(256, 64), (128, 256), (256, 256)]
    assert whole.width > plain.width + 200
    left = 24
    column = [whole.getpixel((left + 128, y)) for y in range(whole.height)]
    assert column.count((200, 30, 30)) == 64
    assert (200, 30, 30) not in [plain.getpixel((left + 200 + 144, y)) for y in range(60)]


def test_a_legend_has_the_classes_that_fit(tmp_path: Path) -> None:
    from fewer.core.drawing.palette import color_of

    shown = []
    for classes in (["a", "b"], [f"class {number}" for number in range(500)]):
        with Image.open(io.BytesIO(sheet([], "none", "PNG", classes))) as picture:
            colors = {color for _, color in picture.getcolors(10_000) or []}
        shown.append(sum(color_of(number) in colors for number in range(18)))
    assert shown[0] == 2
    assert 3 <= shown[1] < 18
