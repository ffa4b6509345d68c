"""Parts of the page of figures: pictures within the page, numbers, and bars of shares."""

from __future__ import annotations

import base64
import io

from PIL import Image

from fewer.report import units
from fewer.report.markup import Html, esc, td


def embedded(image: Image.Image, label: str) -> Html:
    """A picture as part of the page, encoded anew.

    Args:
        image: An RGB picture, at the size that it is shown at.
        label: Its name.
    """
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    data = base64.b64encode(out.getvalue()).decode("ascii")
    text = esc(label, 120)
    return Html(f'<img alt="{text}" title="{text}" '
                f'width="{image.width}" height="{image.height}" src="data:image/jpeg;base64,{data}">')  # fmt: skip


def number(value: float) -> Html:
    """A number as a cell."""
    return td(esc(units.plain(round(value, 3 if abs(value) < 100 else 0))), value)


def meter(width: float, share: float) -> Html:
    """A share as a cell with a bar, whose width is that of the largest one's."""
    return Html(f'<td class="n meter"><span style="--w:{width:.3f}"></span><b>{esc(units.share(share))}</b></td>')
