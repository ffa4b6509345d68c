"""`fewer data convert`: boxes in another format, with their images linked or copied."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fewer.cli.options import Json


def convert(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="Images with boxes, such as voc:PATH, or a path.", show_default=False),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write; it must not hold anything.")],
    to: Annotated[Literal["coco", "voc", "yolo"], typer.Option("--to", help="The format.", show_default=False)],
    images: Annotated[
        Literal["link", "copy", "none"], typer.Option("--images", help="Links, copies, or annotations alone.")
    ] = "link",
    as_json: Json = False,
) -> int:
    """Write boxes as COCO JSON, Pascal VOC XML or YOLO text files, splits included.

    The source is only read. What was written is read again and compared. What a format cannot hold is told.
    """
    import json

    from fewer.core.errors import printable
    from fewer.inspection.conversion import Conversion, converted

    told = converted(Conversion(source, out.resolve(), to, images))
    if as_json:
        print(json.dumps(told))
        return 0
    for note in told["notes"]:
        print(f"note: {printable(note)}")
    for split, count in told["images"].items():
        print(f"{split:6}{count:10,} images")
    print(f"{told['objects']:,} objects of {len(told['classes']):,} classes")
    for what, count in told["lost"].items():
        print(f"{to} cannot hold {count:,} of these: {what}")
    print(printable(f"{to} in {out}" + (", read again and compared" if told["checked"] else ", without images")))
    print(printable(f"train on it: `{told['train']}`"))
    return 0
