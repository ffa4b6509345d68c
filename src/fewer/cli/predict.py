"""`fewer predict`: predictions of a model for images."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fewer.cli.options import Json, Model

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO

    from fewer.cli.predictions import Tally
    from fewer.core.protocols import PredictionFormat
    from fewer.inference.loaded import LoadedModel
    from fewer.inference.predict import Prediction


def predict(
    model: Model,
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of images.", show_default=False)],
    top: Annotated[
        Optional[int],  # noqa: UP045 (typer reads this at run time)
        typer.Option(
            "--top",
            min=1,
            help="Classes or boxes of an image, at most; by default 2 classes, 100 boxes.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    csv: Annotated[
        Optional[Path],  # noqa: UP045 (typer reads this at run time)
        typer.Option("--csv", help="Write a table to this file.", show_default=False),
    ] = None,
    sheet: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--sheet", help="Write a contact sheet: a .jpg or .png of at most 200 images.", show_default=False
        ),
    ] = None,
    pictures: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--pictures",
            help="Write every image with its boxes or its mask drawn in it to this new folder.",
            show_default=False,
        ),
    ] = None,
    masks: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--masks",
            help="Write the mask of every image as a PNG of class ids to this new folder.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--batch", min=1, help="Images in one forward; by default as in evaluation.", show_default=False),
    ] = None,
) -> int:
    """Predict images, preprocessed exactly as in the run's evaluation.

    Images that cannot be read are listed, the rest is predicted, and the exit code is 3.
    """
    import sys

    from fewer.core.errors import DataError, RecipeError, printable

    if as_json and csv:
        raise RecipeError("--json and --csv: give one of the two")
    shown_most = _shown_most(sheet)
    from fewer.cli.prediction_files import require_new

    require_new("--pictures", pictures)
    require_new("--masks", masks)
    from fewer.data.listing.files import files_of
    from fewer.data.listing.left_out import LeftOut
    from fewer.runs.published import model_folder

    left_out = LeftOut()
    files, model = files_of(images, left_out), model_folder(model)  # a wrong path ends here, before torch is imported
    from fewer.machine.imports import without_garbage_collection

    with without_garbage_collection():
        from fewer.cli.display import counted
        from fewer.cli.prediction_files import require_drawn
        from fewer.cli.predictions import Tally, collected, write_csv, write_json, write_text
        from fewer.inference.loaded import load_published
        from fewer.inference.predict import answers_of
        from fewer.inference.predict import predict as predicted
        from fewer.runs.published import unfinished
        from fewer.runs.record import publishing
        from fewer.tasks import module

    tally = Tally()
    with ExitStack() as stack:
        # Opened first: a place that cannot be written is an error before anything is computed.
        table = stack.enter_context(publishing(csv)) if csv else None
        picture = stack.enter_context(publishing(sheet)) if sheet else None
        with without_garbage_collection():  # which imports the model's library
            handed = load_published(model)
        annotations = module(handed.about.task.name).ANNOTATIONS
        require_drawn(handed.about.task.name, annotations, pictures, masks)
        if warning := unfinished(model, handed.about.epochs):
            print(printable(f"warning: {warning}"), file=sys.stderr)
        show = stack.enter_context(counted("predicting", quiet=not (csv or as_json)))
        most = top or answers_of(handed)
        format = handed.task.format(most)
        found = _with_files(predicted(handed, files, most, batch or 0), format, handed, pictures, masks)
        found = collected(found, tally, shown_most, show=show)
        if csv and table:
            keys = [key for key, folder in (("picture", pictures), ("mask", masks)) if folder]
            write_csv(found, format, table, csv, keys)
        elif as_json:
            write_json(found, format, handed)
        else:
            write_text(found, format)
        if sheet and picture:
            _draw(picture, sheet, handed, format, tally, is_whole=annotations != "classes")
    for path in (csv, sheet, pictures, masks):
        if path and not as_json:
            print(path)
    if left_out.unread:
        print(printable(left_out.unread_note), file=sys.stderr)
    if tally.damaged:
        raise DataError(f"{tally.damaged:,} of {tally.images:,} images could not be read; the rest was predicted")
    return 0


def _shown_most(sheet: Path | None) -> int:
    """How many images a contact sheet shows; 0 without one."""
    if sheet is None:
        return 0
    from fewer.core.errors import RecipeError
    from fewer.report.contact_sheet import FORMATS, SHOWN_MAX

    if sheet.suffix.lower() not in FORMATS:
        raise RecipeError(f"--sheet {sheet}: allowed endings: {', '.join(FORMATS)}")
    return SHOWN_MAX


def _with_files(
    found: Iterable[Prediction],
    format: PredictionFormat,
    handed: LoadedModel,
    pictures: Path | None,
    masks: Path | None,
) -> Iterable[Prediction]:
    """Predictions whose pictures and masks are written as they pass."""
    from fewer.cli.prediction_files import picture_of, written

    if pictures is not None:
        content = partial(picture_of, format=format, depth=handed.about.depth)
        found = written(found, pictures, "picture", ".jpg", content)
    if masks is not None:
        found = written(found, masks, "mask", ".png", lambda prediction: format.mask(prediction.answer))
    return found


def _draw(
    picture: IO[bytes], path: Path, handed: LoadedModel, format: PredictionFormat, tally: Tally, is_whole: bool
) -> None:
    import sys

    from fewer.report.contact_sheet import FORMATS, Tile, sheet
    from fewer.runs.published import run_of
    from fewer.runs.record import writing

    sound = tally.images - tally.damaged
    depth = handed.about.depth
    tiles = [Tile(shown.path, partial(format.draw, prediction=shown.answer), depth) for shown in tally.shown]
    count = f"{len(tiles):,} images" if len(tiles) == sound else f"the first {len(tiles):,} of {sound:,} images"
    run = run_of(handed.folder)
    title = f"{run.name if run else handed.folder.name} ({handed.about.model.name}): {count}"
    data = sheet(tiles, title, FORMATS[path.suffix.lower()], handed.about.classes if is_whole else None)
    with writing(path):
        picture.write(data)
    if len(tiles) < sound:
        print(f"the contact sheet shows {count}", file=sys.stderr)
