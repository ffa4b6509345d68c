"""`previews/` of a run folder: training views as contact sheets, and thumbnails of the worst samples.

All pixels come from the data object's own batches, so what is shown is what is trained on. Batches are a pure function
of their requests, and only the loop books loaded samples: looking does not change the run, and of its ledger only what
was decoded.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw

from fewer.core.drawing.legend import draw_legend
from fewer.core.drawing.text import drawable, fitting, font_of
from fewer.core.evaluation import WorstSample
from fewer.core.mixing import Mix, Mixture, partners
from fewer.core.ragged import dense
from fewer.core.types import Request, Stage
from fewer.data.images import ImageData
from fewer.plan.shown import shown_of
from fewer.runs.record import publish, writing
from fewer.session.annotated import draw_view, fitted_to, targets_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fewer.core.frame import Frame
    from fewer.core.types import Batch

CELL_PX, GAP_PX, LABEL_PX, HEAD_PX, LINE_PX = 96, 4, 130, 22, 18
THUMBNAIL_PX = 96
INK = "#16191d"
WHOLE_PX = 208  # longer side of a cell that shows a whole view
SHEET_BYTES, THUMBNAIL_BYTES = 160_000, 8_000  # at most, so that a report has room for them
WHOLE_SHEET_BYTES, PAIR_BYTES = 240_000, 18_000
_AT_ONCE = 8  # images that a model is given
QUALITIES = (88, 75, 60, 40, 20, 5)  # of JPEG, until the file is small enough


def write_stage(
    data: ImageData, stage: Stage, folder: Path, mix: Callable[[int], Mixture | None] = lambda epoch: None
) -> Path:
    """Publishes `stage-N.jpg`: a row a sample, first as it is evaluated, then as the stage's first epochs show it.

    Args:
        data: The training images.
        stage: The stage, whose side has been decoded.
        folder: Where to.
        mix: How an epoch's first batch is mixed; the rows are mixed likewise, in pairs of neighbours.

    Raises:
        ResourceError: The folder cannot be written to.
    """
    frame = data.frame(stage.side_px)
    most = shown_of(frame is not None)
    ids_B, classes = to_show(data, most.rows)
    labels = _labels(data, ids_B, classes)
    epochs = range(stage.first_epoch, stage.first_epoch + min(stage.epochs, most.views))
    requests = [Request.evaluation(stage.side_px, stage.first_epoch, ids_B)]
    requests += [Request.training(stage, epoch, ids_B) for epoch in epochs]
    mixes = [None, *map(mix, epochs)]
    place_B = torch.arange(len(ids_B))
    columns = []
    for batch, each in zip(data.batches(requests), mixes, strict=True):
        shown = each.batch(batch, each.mates(place_B, len(ids_B))) if each else batch
        columns.append(_cells(shown, data, frame))
    others = (partners(place_B, len(ids_B)) if any(isinstance(each, Mix) for each in mixes) else place_B).tolist()
    lines = [(labels[row], *([f"with {labels[other]}"] * (other != row))) for row, other in enumerate(others)]
    shares = [f" ({each.note})" if each else "" for each in mixes]
    titles = ["evaluated", *(f"epoch {epoch + 1}{share}" for epoch, share in zip(epochs, shares[1:], strict=True))]
    sheet = _sheet(columns, lines, titles, data.split.classes if frame else ())
    most_bytes = WHOLE_SHEET_BYTES if frame else SHEET_BYTES
    return publish_jpeg(folder / f"stage-{stage.index + 1}.jpg", sheet, most_bytes)


def write_worst(
    data: ImageData,
    worst: Sequence[WorstSample],
    side_px: int,
    folder: Path,
    pairs: Callable[[Batch], list[Image.Image]] | None = None,
) -> list[str]:
    """Publishes a picture for each of the worst samples, as the model saw them; returns the files' names in order.

    Args:
        data: Their images.
        worst: The samples; of whole pictures no more are shown than a report has room for.
        side_px: Side that they were evaluated at.
        folder: Where to.
        pairs: Draws whole pictures as annotated, beside what was found.

    Raises:
        ResourceError: The folder cannot be written to.
    """
    is_whole = data.frame(side_px) is not None and pairs is not None
    ids_B = torch.tensor([sample.id for sample in worst[: shown_of(is_whole).worst]])
    if not len(ids_B):
        return []
    names: list[str] = []
    for part in ids_B.split(_AT_ONCE if is_whole else len(ids_B)):
        batch = next(iter(data.batches([Request.evaluation(side_px, 0, part)])))
        if is_whole and pairs is not None:
            images, most_bytes = pairs(batch), PAIR_BYTES
        else:
            images, most_bytes = _thumbnails(batch, data), THUMBNAIL_BYTES
        for place, image in enumerate(images, start=len(names) + 1):
            names.append(publish_jpeg(folder / f"{place:03d}.jpg", image, most_bytes).name)
    return names


def _thumbnails(batch: Batch, data: ImageData) -> list[Image.Image]:
    images = [Image.fromarray(pixels) for pixels in pictures(dense(batch.inputs), data)]
    for image in images:
        image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
    return images


def pictures(inputs_BCHW: torch.Tensor, data: ImageData) -> NDArray[np.uint8]:
    """Inputs of a model as pixels again: uint8 (B, H, W, 3)."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data.mean, data.std))
    pixels = inputs_BCHW.detach().cpu().float() * std + mean
    return pixels.mul(255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def grid(views_RCHWC: torch.Tensor, gap_px: int = GAP_PX) -> torch.Tensor:
    """Views in a grid, as one picture.

    Args:
        views_RCHWC: R rows of C views each, uint8 (R, C, H, W, 3): say a sample a row, the image itself in the first
            column and its views in some epochs in the others.
        gap_px: White pixels between views and around them.

    Returns:
        uint8 (R * (H + gap_px) + gap_px, C * (W + gap_px) + gap_px, 3), contiguous.
    """
    rows, columns, height, width, channels = views_RCHWC.shape
    sheet = views_RCHWC.new_full((rows, height + gap_px, columns, width + gap_px, channels), 255)
    sheet[:, :height, :, :width] = views_RCHWC.transpose(1, 2)
    sheet = sheet.view(rows * (height + gap_px), columns * (width + gap_px), channels)
    framed = sheet.new_full((sheet.shape[0] + gap_px, sheet.shape[1] + gap_px, channels), 255)
    framed[gap_px:, gap_px:] = sheet
    return framed


def of_different_classes(data: ImageData, most: int) -> tuple[torch.Tensor, list[int]]:
    """The first images of up to `most` classes, evenly spread over all; more of each where there are fewer classes."""
    ids_M = data.split.ids_M
    label_M = data.split.label_N[ids_M]
    order = torch.argsort(label_M, stable=True)
    counts = torch.bincount(label_M, minlength=len(data.split.classes))
    rank_M = torch.arange(len(ids_M)) - (counts.cumsum(0) - counts)[label_M[order]]
    by_turn = order[torch.argsort(rank_M, stable=True)]  # each class's first image, then each one's second, ...
    present = int((counts > 0).sum())
    if present > most:
        by_turn = by_turn[torch.linspace(0, present - 1, most).round().long()]
    chosen = by_turn[:most]
    return ids_M[chosen], label_M[chosen].tolist()


def to_show(data: ImageData, most: int) -> tuple[torch.Tensor, list[int]]:
    """Images that are shown, with their labels: of different classes, or spread over all where none has a class.

    The masks of a video are of one class and in its order: neighbours look alike.
    """
    ids_M = data.split.ids_M
    if data.split.source.annotations != "masks" or len(ids_M) <= most:
        return of_different_classes(data, most)
    chosen = ids_M[torch.linspace(0, len(ids_M) - 1, most).round().long()]
    return chosen, data.split.label_N[chosen].tolist()


def _labels(data: ImageData, ids_B: torch.Tensor, classes: Sequence[int]) -> list[str]:
    """What stands beside the images: their class where they have one, else the name of their file."""
    split, font = data.split, font_of(13)
    if split.source.annotations == "classes":
        return [drawable(split.classes[number], number, font) for number in classes]
    return [drawable(Path(split.source.names[id]).name, id, font) for id in ids_B.tolist()]


def _cells(batch: Batch, data: ImageData, frame: Frame | None) -> list[Image.Image]:
    """Views as the cells of a column, with what they are annotated with where they show whole pictures."""
    views = [Image.fromarray(view) for view in pictures(dense(batch.inputs), data)]
    if frame is None:
        return [_square(view) for view in views]
    cells = []
    for view, target in zip(views, targets_of(batch), strict=True):
        cell = fitted_to(view, WHOLE_PX, WHOLE_PX)
        draw_view(cell, target, data.split.classes, frame)
        cells.append(cell)
    return cells


def _square(view: Image.Image) -> Image.Image:
    way = Image.Resampling.NEAREST if view.width < CELL_PX else Image.Resampling.BOX
    return view.resize((CELL_PX, CELL_PX), way)


def _sheet(
    cells: Sequence[Sequence[Image.Image]],
    labels: Sequence[Sequence[str]],
    columns: Sequence[str],
    legend: Sequence[str] = (),
) -> Image.Image:
    """A white sheet: labels on the left, in lines, a row a sample, a column a view; above them the classes' colours."""
    arrays = [[torch.from_numpy(np.array(column[row])) for column in cells] for row in range(len(labels))]
    shown = Image.fromarray(grid(torch.stack([torch.stack(row) for row in arrays])).numpy())
    head = HEAD_PX + (LINE_PX if legend else 0)
    sheet = Image.new("RGB", (LABEL_PX + shown.width, head + shown.height), "white")
    sheet.paste(shown, (LABEL_PX, head))
    draw, font = ImageDraw.Draw(sheet), font_of(13)
    wide, high = (size + GAP_PX for size in cells[0][0].size)
    if legend:
        draw_legend(draw, (8, 2), sheet.width - 16, legend, font, INK)
    for column, title in enumerate(columns):
        draw.text((LABEL_PX + GAP_PX + wide * column, head - HEAD_PX + 5), title, INK, font)
    for row, lines in enumerate(labels):
        middle = head + GAP_PX + high * row + (high - GAP_PX) // 2 - LINE_PX * (len(lines) - 1) // 2
        for place, line in enumerate(lines):
            text = fitting(line, LABEL_PX - 12, font, keep_end=bool(legend))
            draw.text((8, middle + LINE_PX * place), text, INK, font, anchor="lm")
    return sheet


def publish_jpeg(path: Path, image: Image.Image, most_bytes: int) -> Path:
    """Publishes a JPEG, in the best quality that is small enough."""
    for quality in QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, subsampling=0)
        if buffer.tell() <= most_bytes:
            break
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    publish(path, buffer.getvalue())
    return path
