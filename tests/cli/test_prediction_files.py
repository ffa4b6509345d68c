"""Pictures and masks of predictions: a file each, under names that are safe and never taken, or a clear refusal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fewer.cli.prediction_files import FileNames, picture_of, require_drawn, require_new, written
from fewer.core.errors import RecipeError
from fewer.core.types import Caption
from fewer.data.decode.depth import FULL
from fewer.inference.predict import Prediction


@given(st.lists(st.text(st.characters(exclude_characters="/\0"), max_size=300), max_size=12), st.booleans())
def test_names_are_safe_and_never_alike(names: list[str], twice: bool) -> None:
    given = FileNames()
    found = [given.of(f"folder/{name}.png") for name in names * (1 + twice)]
    assert len({name.casefold() for name in found}) == len(found)
    for name in found:
        assert name == Path(name).name
        assert name.isprintable()
        assert not name.startswith(".")
        assert len(f".{name}.jpg.4194304.tmp".encode()) < 255


def test_images_of_one_name_get_numbers() -> None:
    names = FileNames()
    paths = ["a/1.png", "b/1.jpg", "c/1-2.png", "d/1.png", "E/x:y\x1b[2J.png", ".hidden.png"]
    assert [names.of(path) for path in paths] == ["1", "1-2", "1-2-2", "1-3", "x_y_[2J", "hidden"]


def test_every_image_that_can_be_read_gets_its_file(tmp_path: Path) -> None:
    predictions = [Prediction(f"{number}.png", number, "damaged" * (number == 1)) for number in range(4)]
    folder = tmp_path / "new" / "masks"
    found = list(written(predictions, folder, "mask", ".png", lambda one: b"x" * one.answer if one.answer else None))
    assert [one.files.get("mask") for one in found] == [None, None, f"{folder}/2.png", f"{folder}/3.png"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"2.png": b"xx", "3.png": b"xxx"}


class Halves:
    """Paints the upper half of a picture."""

    def draw(self, thumbnail: Image.Image, prediction: Any) -> Caption:
        thumbnail.paste(prediction, (0, 0, thumbnail.width, thumbnail.height // 2))
        return Caption("half", 0, 1.0)


def test_a_picture_is_drawn_at_its_own_size_and_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.new("RGB", (70, 30), (200, 30, 30)).save(tmp_path / "a.jpg", exif=exif)
    prediction = Prediction(str(tmp_path / "a.jpg"), (0, 0, 255))
    data = picture_of(prediction, Halves(), FULL)  # type: ignore[arg-type]
    with Image.open(io.BytesIO(data or b"")) as picture:
        assert picture.size == (30, 70)
        assert picture.getpixel((15, 10)) == pytest.approx((0, 0, 255), abs=4)
        assert picture.getpixel((15, 60)) == pytest.approx((200, 30, 30), abs=4)
    (tmp_path / "a.jpg").unlink()
    assert picture_of(prediction, Halves(), FULL) is None  # type: ignore[arg-type]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "lost").symlink_to("nowhere")
    for allowed in (None, tmp_path / "new", tmp_path / "empty"):
        require_new("--pictures", allowed)
    for taken in (tmp_path, tmp_path / "file", tmp_path / "lost"):
        with pytest.raises(RecipeError, match="give a new folder"):
            require_new("--pictures", taken)


@pytest.mark.parametrize(
    ("annotations", "pictures", "masks", "complaint"),
    [
        ("classes", True, False, "--sheet FILE shows images with their classes"),
        ("classes", False, True, "no masks"),
        ("boxes", True, True, "finds boxes, no masks"),
        ("boxes", True, False, ""),
        ("masks", True, True, ""),
        ("classes", False, False, ""),
    ],
)
def test_a_task_is_asked_for_what_it_finds(annotations: str, pictures: bool, masks: bool, complaint: str) -> None:
    folders = (Path("p") if pictures else None, Path("m") if masks else None)
    if not complaint:
        require_drawn("a-task", annotations, *folders)
        return
    with pytest.raises(RecipeError, match=complaint):
        require_drawn("a-task", annotations, *folders)
