"""Watched pictures: a few whole ones of validation, as annotated, and with what the model finds after evaluations.

`previews/validation.jpg` shows them as a strip over the epochs, `previews/validation.json` holds what it says, and
`previews/watched/` a column of it for each of some epochs, so that a resumed run goes on with the strip. Looking does
not change the run: images are evaluated as always, by one process, and only seconds are booked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageDraw

from fewer.core.drawing.legend import draw_legend
from fewer.core.drawing.text import drawable, fitting, font_of, in_font
from fewer.plan.shown import shown_of
from fewer.report.history import spread
from fewer.runs.record import read_json, write_json
from fewer.session.annotated import draw_own, fitted_to, targets_of
from fewer.session.fixed_images import FixedImages
from fewer.session.previews import WHOLE_SHEET_BYTES, publish_jpeg, to_show
from fewer.session.watched import EPOCHS, NAME
from fewer.session.whole_pictures import ANSWERS, GAP_PX, cell_of, whole_pictures

if TYPE_CHECKING:
    from torch import nn

    from fewer.core.protocols import Task
    from fewer.core.types import Batch
    from fewer.data.images import ImageData

COLUMN_BYTES = 60_000  # of a file, at most
_KEPT = 2 * EPOCHS  # columns that are kept; of more, every second one is let go
_SHOWN = 5  # columns of the strip, beside the annotation
_HEAD_PX, _NAME_PX = 46, 18
_INK, _FAINT = "#16191d", "#666666"
_FOLDER = "watched"


class Seen(NamedTuple):
    """What a task says under a picture: label, its number, and how sure it is."""

    label: str
    number: int
    share: float


class WatchedPictures:
    """The watched pictures of a run.

    Args:
        data: The validation images, which are shown whole.
        task: Predicts, and draws what it predicts.
        folder: `previews/` of the run; what an earlier process wrote there is gone on with.
    """

    def __init__(self, data: ImageData, task: Task, folder: Path) -> None:
        self._data, self._task, self._folder = data, task, folder
        self._ids_B, _ = to_show(data, shown_of(is_whole=True).watched)
        self._names = [data.split.source.names[number] for number in self._ids_B.tolist()]
        self._images = FixedImages(data, task, self._ids_B)
        self._epochs = _read(folder / f"{NAME}.json", self._names)

    def look(self, model: nn.Module, side_px: int, epoch: int) -> None:
        """Takes in what a model finds in the pictures, and draws the strip again.

        Args:
            model: In evaluation mode.
            side_px: Side that it is evaluated at.
            epoch: Epochs that it was trained for; what was seen of later ones is taken back.

        Raises:
            ResourceError: The folder cannot be written to.
        """
        batch, predictions = self._images.predicted(model, side_px, ANSWERS)
        form = self._task.format(ANSWERS)
        cell = cell_of(self._data, side_px)
        found = whole_pictures(batch, self._data, cell)
        captions = [form.draw(picture, each) for picture, each in zip(found, predictions, strict=True)]
        for past in [past for past in self._epochs if past >= epoch]:
            self._forget(past)
        self._epochs[epoch] = [Seen(each.label, each.number, round(each.share, 4)) for each in captions]
        publish_jpeg(self._file(epoch), _column(found, cell), COLUMN_BYTES)
        if len(self._epochs) > _KEPT:
            for past in sorted(self._epochs)[1:-1:2]:
                self._forget(past)
        strip = self._strip(batch, cell, {epoch: _column(found, cell)})
        publish_jpeg(self._folder / f"{NAME}.jpg", strip, WHOLE_SHEET_BYTES)
        write_json(
            self._folder / f"{NAME}.json", {"images": [{"name": n} for n in self._names], "epochs": self._epochs}
        )

    def _file(self, epoch: int) -> Path:
        return self._folder / _FOLDER / f"{epoch:06d}.jpg"

    def _forget(self, epoch: int) -> None:
        del self._epochs[epoch]
        self._file(epoch).unlink(missing_ok=True)

    def _strip(self, batch: Batch, cell: tuple[int, int], drawn: Mapping[int, Image.Image]) -> Image.Image:
        """A row a picture: as annotated, then what was found after some epochs."""
        wide, high = cell
        shown, font, small = spread(sorted(self._epochs), _SHOWN), font_of(13), font_of(11)
        rows, step, down = len(self._names), wide + GAP_PX, high + _NAME_PX
        sheet = Image.new("RGB", (GAP_PX + step * (1 + len(shown)), _HEAD_PX + down * rows), "white")
        draw = ImageDraw.Draw(sheet)
        draw_legend(draw, (GAP_PX, 4), sheet.width - 2 * GAP_PX, self._data.split.classes, font, _INK)
        annotated = whole_pictures(batch, self._data, cell)
        for picture, target in zip(annotated, targets_of(batch), strict=True):
            draw_own(picture, target, self._data.split.classes)
        columns = [_column(annotated, cell)]
        columns += [drawn[past] if past in drawn else _opened(self._file(past), cell, rows) for past in shown]
        for column, picture in enumerate(columns):
            x = GAP_PX + step * column
            draw.text((x, 24), f"epoch {shown[column - 1]}" if column else "annotated", _INK, font)
            for row in range(rows):
                y = _HEAD_PX + down * row
                sheet.paste(picture.crop((0, high * row, wide, high * (row + 1))), (x, y))
                said = self._epochs[shown[column - 1]][row] if column else None
                text = in_font(self._names[row], small) if said is None else drawable(said.label, said.number, small)
                draw.text((x, y + high + 1), fitting(text, wide, small, keep_end=said is None), _FAINT, small)
        return sheet


def _column(found: Sequence[Image.Image], cell: tuple[int, int]) -> Image.Image:
    """Pictures one above the other, each in the middle of its cell."""
    wide, high = cell
    column = Image.new("RGB", (wide, high * len(found)), "white")
    for row, picture in enumerate(found):
        shown = fitted_to(picture, wide, high)
        column.paste(shown, ((wide - shown.width) // 2, high * row + (high - shown.height) // 2))
    return column


def _opened(path: Path, cell: tuple[int, int], rows: int) -> Image.Image:
    """A column that was kept; white where it is gone or damaged. Of another stage it may have another shape."""
    size = cell[0], cell[1] * rows
    try:
        if path.stat().st_size > 4 * COLUMN_BYTES:
            raise OSError
        with Image.open(path, formats=["JPEG"]) as image:
            return image.convert("RGB").resize(size)
    except (OSError, ValueError, Image.DecompressionBombError):
        return Image.new("RGB", size, "white")


def _read(path: Path, names: Sequence[str]) -> dict[int, list[Seen]]:
    """What earlier processes of the run saw; nothing where the file says nothing of these images."""
    try:
        content = read_json(path)
        if [image["name"] for image in content["images"]] != list(names):
            return {}
        epochs = content["epochs"]
        found = {int(past): [Seen(str(name), int(n), float(p)) for name, n, p in said] for past, said in epochs.items()}
        return {past: said for past, said in found.items() if past >= 0 and len(said) == len(names)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, json.JSONDecodeError):
        return {}
