"""Files of predictions, one for each image: pictures with what was found drawn in them, and masks."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fewer.core.errors import RecipeError
from fewer.runs.record import publish, writing

if TYPE_CHECKING:
    from fewer.core.protocols import PredictionFormat
    from fewer.inference.predict import Prediction

_QUALITY = 92  # of JPEG: a picture looks the same, and its file stays small
_NAME_BYTES = 200
Content = Callable[["Prediction"], bytes | None]


def require_new(option: str, folder: Path | None) -> None:
    """Refuses a folder that holds something, so that nothing in it is overwritten.

    Raises:
        RecipeError: There is a file of this name, or the folder is not empty.
    """
    if folder is None or not (folder.exists() or folder.is_symlink()):
        return
    if not folder.is_dir():
        raise RecipeError(f"{option} {folder}: there is a file of this name; give a new folder")
    if any(folder.iterdir()):
        raise RecipeError(f"{option} {folder}: this folder is not empty, and its files are kept; give a new folder")


def require_drawn(task: str, annotations: str, pictures: Path | None, masks: Path | None) -> None:
    """Refuses pictures and masks that a task has none of.

    Args:
        task: Its name.
        annotations: What it learns from: "classes", "boxes" or "masks".
        pictures: The folder asked for, of images with what was found drawn in them.
        masks: That of masks.

    Raises:
        RecipeError: One is asked for in vain.
    """
    if pictures is not None and annotations == "classes":
        raise RecipeError(
            f"--pictures {pictures}: {task} names the class of an image, and finds no place in it that could be drawn; "
            "--sheet FILE shows images with their classes"
        )
    if masks is not None and annotations != "masks":
        raise RecipeError(f"--masks {masks}: {task} finds {annotations}, no masks; a model of task segment finds them")


def written(
    predictions: Iterable[Prediction], folder: Path, key: str, ending: str, content: Content
) -> Iterator[Prediction]:
    """Passes predictions on, and writes a file for each image that could be read.

    Args:
        predictions: In any number.
        folder: Made where there is none.
        key: What the path of the file is called in JSON and in tables.
        ending: Of the files' names, which are otherwise those of the images.
        content: The bytes of the file of an image; None: there is none.

    Raises:
        ResourceError: The disk is full or cannot be written.
    """
    names = FileNames()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for prediction in predictions:
        data = None if prediction.fault else content(prediction)
        if data is not None:
            path = folder / f"{names.of(prediction.path)}{ending}"
            publish(path, data)
            prediction = replace(prediction, files={**prediction.files, key: str(path)})
        yield prediction


def picture_of(prediction: Prediction, format: PredictionFormat, depth: int) -> bytes | None:
    """An image at its own size, upright, with what was found drawn in it, as JPEG; None where it has gone meanwhile."""
    from fewer.data.decode.decode import Damaged
    from fewer.report.contact_sheet import whole_picture

    try:
        picture = whole_picture(prediction.path, depth)
    except Damaged:
        return None
    format.draw(picture, prediction.answer)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=_QUALITY, subsampling=0)
    return out.getvalue()


class FileNames:
    """Names for files, no two alike, whatever folders the images come from and whatever these are called."""

    def __init__(self) -> None:
        self._given: Counter[str] = Counter()

    def of(self, path: str) -> str:
        """The name of an image without its ending, safe to be written; a second one of the same name gets a number."""
        stem = "".join(c if c.isprintable() and c not in '\\:*?"<>|' else "_" for c in Path(path).stem)
        stem = stem.encode(errors="replace")[:_NAME_BYTES].decode(errors="ignore").strip(". ") or "image"
        name, number = stem, 1
        while self._given[name.casefold()]:
            number = self._given[stem.casefold()] = max(number, self._given[stem.casefold()]) + 1
            name = f"{stem}-{number}"
        self._given[name.casefold()] += 1
        return name
