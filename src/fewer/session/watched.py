"""Watched images: a few of validation, always the same, with what the model makes of them after every evaluation.

`previews/validation.jpg` shows them as a strip over the epochs, `previews/validation.json` holds what it says. Looking
does not change the run: images are evaluated as always, by one process, and only seconds are booked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from fewer.core.drawing.text import drawable, fitting, font_of
from fewer.core.ragged import dense
from fewer.plan.shown import shown_of
from fewer.report.history import spread
from fewer.runs.record import read_json, write_json
from fewer.session.fixed_images import FixedImages
from fewer.session.previews import SHEET_BYTES, of_different_classes, pictures, publish_jpeg

if TYPE_CHECKING:
    from torch import nn

    from fewer.core.protocols import Task
    from fewer.data.images import ImageData

Said = tuple[str, int, float]  # a prediction: label, number, probability
NAME = "validation"
EPOCHS = 8  # columns of the strip, at most: the first, the last, and some between
_CELL_PX, _ROW_PX, _HEAD_PX, _COLUMN_PX, _GAP_PX = 60, 66, 44, 112, 6
_RIGHT, _WRONG, _FAINT = "#16191d", "#b5460f", "#666666"


class Watched:
    """The watched images of a run.

    Args:
        data: The validation images.
        task: Predicts, and says in words what it predicts.
        folder: `previews/` of the run; what an earlier process wrote there is gone on with.
    """

    def __init__(self, data: ImageData, task: Task, folder: Path) -> None:
        self._data, self._task, self._folder = data, task, folder
        self._ids_B, self._numbers = of_different_classes(data, shown_of(is_whole=False).watched)
        self._true = [data.split.classes[number] for number in self._numbers]
        self._images = FixedImages(data, task, self._ids_B)
        self._epochs = _read(folder / f"{NAME}.json", len(self._true))

    def look(self, model: nn.Module, side_px: int, epoch: int) -> None:
        """Takes in what a model makes of the images, and draws the strip again.

        Args:
            model: In evaluation mode.
            side_px: Side that it is evaluated at.
            epoch: Epochs that it was trained for; what was seen of later ones is taken back.

        Raises:
            ResourceError: The folder cannot be written to.
        """
        batch, predictions = self._images.predicted(model, side_px, 1)
        form = self._task.format(1)
        images = [Image.fromarray(pixels) for pixels in pictures(dense(batch.inputs), self._data)]
        images = [image.resize((_CELL_PX, _CELL_PX), Image.Resampling.BOX) for image in images]
        captions = [form.draw(image, prediction) for image, prediction in zip(images, predictions, strict=True)]
        self._epochs = {past: said for past, said in self._epochs.items() if past < epoch}
        self._epochs[epoch] = [(caption.label, caption.number, round(caption.share, 4)) for caption in captions]
        strip = _strip(images, self._true, self._numbers, self._epochs)
        publish_jpeg(self._folder / f"{NAME}.jpg", strip, SHEET_BYTES)
        names = [self._data.split.source.names[number] for number in self._ids_B.tolist()]
        shown = [{"name": name, "class": true} for name, true in zip(names, self._true, strict=True)]
        write_json(self._folder / f"{NAME}.json", {"images": shown, "epochs": self._epochs})


def _read(path: Path, images: int) -> dict[int, list[Said]]:
    """What earlier processes of the run saw; nothing where the file says nothing of so many images."""
    try:
        epochs = read_json(path)["epochs"]
        found = {int(past): [(str(name), int(n), float(p)) for name, n, p in said] for past, said in epochs.items()}
        return {past: said for past, said in found.items() if len(said) == images}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _strip(
    images: Sequence[Image.Image], true: Sequence[str], numbers: Sequence[int], epochs: Mapping[int, Sequence[Said]]
) -> Image.Image:
    """A row an image, a column an epoch: the class predicted and its probability, coloured where it is wrong."""
    shown, font, small = spread(sorted(epochs), EPOCHS), font_of(13), font_of(11)
    left = _GAP_PX + _CELL_PX + _GAP_PX
    sheet = Image.new("RGB", (left + _COLUMN_PX * (1 + len(shown)), _HEAD_PX + _ROW_PX * len(images)), "white")
    draw, room = ImageDraw.Draw(sheet), _COLUMN_PX - 2 * _GAP_PX
    draw.text((_GAP_PX, 4), "validation images; orange: predicted wrongly", _FAINT, small)
    for column, title in enumerate(["class", *(f"epoch {past}" for past in shown)]):
        draw.text((left + _COLUMN_PX * column, 22), title, _RIGHT, font)
    for row, (image, name, number) in enumerate(zip(images, true, numbers, strict=True)):
        top = _HEAD_PX + _ROW_PX * row
        sheet.paste(image, (_GAP_PX, top))
        draw.text((left, top + 12), fitting(drawable(name, number, font), room, font), _RIGHT, font)
        for column, past in enumerate(shown, start=1):
            label, said, share = epochs[past][row]
            color, x = _RIGHT if label == name else _WRONG, left + _COLUMN_PX * column
            draw.text((x, top + 12), fitting(drawable(label, said, font), room, font), color, font)
            draw.text((x, top + 30), f"{share:.0%}", color, small)
    return sheet
