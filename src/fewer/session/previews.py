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

from fewer.core.drawing.text import drawable, fitting, font_of
from fewer.core.evaluation import WorstSample
from fewer.core.mixing import Mix, Mixture, partners
from fewer.core.ragged import dense
from fewer.core.types import Request, Stage
from fewer.data.images import ImageData
from fewer.plan.cost_model import PREVIEW_ROWS as ROWS
from fewer.plan.cost_model import PREVIEW_VIEWS as VIEWS
from fewer.runs.record import publish, writing

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELL_PX, GAP_PX, LABEL_PX, HEAD_PX, LINE_PX = 96, 4, 130, 22, 18
THUMBNAIL_PX = 96
INK = "#16191d"
SHEET_BYTES, THUMBNAIL_BYTES = 160_000, 8_000  # at most, so that a report has room for them
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
    ids_B, classes = of_different_classes(data, ROWS)
    labels = [drawable(data.split.classes[number], number, font_of(13)) for number in classes]
    epochs = range(stage.first_epoch, stage.first_epoch + min(stage.epochs, VIEWS))
    requests = [Request.evaluation(stage.side_px, stage.first_epoch, ids_B)]
    requests += [Request.training(stage, epoch, ids_B) for epoch in epochs]
    mixes = [None, *map(mix, epochs)]
    place_B = torch.arange(len(ids_B))
    views = []
    for batch, each in zip(data.batches(requests), mixes, strict=True):
        shown = each.batch(batch, each.mates(place_B, len(ids_B))) if each else batch
        views.append(pictures(dense(shown.inputs), data))
    others = (partners(place_B, len(ids_B)) if any(isinstance(each, Mix) for each in mixes) else place_B).tolist()
    lines = [(labels[row], *([f"with {labels[other]}"] * (other != row))) for row, other in enumerate(others)]
    shares = [f" ({each.note})" if each else "" for each in mixes]
    titles = ["evaluated", *(f"epoch {epoch + 1}{share}" for epoch, share in zip(epochs, shares[1:], strict=True))]
    sheet = _sheet(views, lines, titles)
    return publish_jpeg(folder / f"stage-{stage.index + 1}.jpg", sheet, SHEET_BYTES)


def write_worst(data: ImageData, worst: Sequence[WorstSample], side_px: int, folder: Path) -> list[str]:
    """Publishes a thumbnail for each of the worst samples, as the model saw them; returns the files' names in order.

    Raises:
        ResourceError: The folder cannot be written to.
    """
    if not worst:
        return []
    ids_B = torch.tensor([sample.id for sample in worst])
    batch = next(iter(data.batches([Request.evaluation(side_px, 0, ids_B)])))
    names = []
    for place, pixels in enumerate(pictures(dense(batch.inputs), data), start=1):
        image = Image.fromarray(pixels)
        image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
        names.append(publish_jpeg(folder / f"{place:03d}.jpg", image, THUMBNAIL_BYTES).name)
    return names


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


def _sheet(views: Sequence[NDArray[np.uint8]], labels: Sequence[Sequence[str]], columns: Sequence[str]) -> Image.Image:
    """A white sheet: labels on the left, in lines, a row a sample, a column a view."""
    cells_RCHWC = torch.stack([torch.stack([_cell(view[row]) for view in views]) for row in range(len(labels))])
    cells = Image.fromarray(grid(cells_RCHWC).numpy())
    sheet = Image.new("RGB", (LABEL_PX + cells.width, HEAD_PX + cells.height), "white")
    sheet.paste(cells, (LABEL_PX, HEAD_PX))
    draw, font, step = ImageDraw.Draw(sheet), font_of(13), CELL_PX + GAP_PX
    for column, title in enumerate(columns):
        draw.text((LABEL_PX + GAP_PX + step * column, 5), title, INK, font)
    for row, lines in enumerate(labels):
        middle = HEAD_PX + GAP_PX + step * row + CELL_PX // 2 - LINE_PX * (len(lines) - 1) // 2
        for place, line in enumerate(lines):
            draw.text((8, middle + LINE_PX * place), fitting(line, LABEL_PX - 12, font), INK, font, anchor="lm")
    return sheet


def _cell(view: NDArray[np.uint8]) -> torch.Tensor:
    image = Image.fromarray(view)
    way = Image.Resampling.NEAREST if image.width < CELL_PX else Image.Resampling.BOX
    return torch.from_numpy(np.array(image.resize((CELL_PX, CELL_PX), way)))


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
