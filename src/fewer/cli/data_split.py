"""`fewer data split`: training, validation and test images of one folder or tar."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from fewer.cli.options import Json, Processes
from fewer.cli.progress import reading_images


def split(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="Images that are not split: a folder, a tar, ...", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write; it must not hold anything.")],
    fractions: Annotated[
        str, typer.Option("--fractions", help="The share of each split, such as train=0.8,val=0.1,test=0.1.")
    ] = "",
    counts: Annotated[
        str, typer.Option("--counts", help="Or the images of each, such as train=4000,test=500; others are left over.")
    ] = "",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed gives another split.")] = 0,
    form: Annotated[
        Literal["auto", "links", "copies", "lists"],
        typer.Option("--as", help="Links or copies in folders, or lists; by default links where images are files."),
    ] = "auto",
    group: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--group",
            help='What stays in one split: "near-duplicates", or CSV:COLUMN with images named in the column file; '
            "may be given again.",
            show_default=False,
        ),
    ] = None,
    level: Annotated[
        str,
        typer.Option(
            "--class-level", help="Which folder is the class, where folders lie in folders: 1, 2, ... or innermost."
        ),
    ] = "auto",
    pool: Annotated[bool, typer.Option("--pool", help="Split all images anew, though the source is split.")] = False,
    processes: Processes = None,
    as_json: Json = False,
) -> int:
    """Split images class by class into train, val and test, for `fewer train`.

    Equal images always stay in one split. The source is only read. Files are checked by hash once they are written.
    """
    from fewer.core.errors import RecipeError, printable
    from fewer.inspection.split import Wanted, class_level
    from fewer.inspection.split import split as done
    from fewer.inspection.splitting import sizes

    if bool(fractions) == bool(counts):
        raise RecipeError(
            f"--fractions and --counts: {'both are' if counts else 'neither is'} given; fix: one of them, such as "
            "--fractions train=0.8,val=0.1,test=0.1"
        )
    wanted = sizes("fractions", fractions) if fractions else sizes("counts", counts)
    with reading_images() as on_progress:
        asked = Wanted(source, wanted, out.resolve(), seed, form, tuple(group or ()), pool, class_level(level))
        told = done(asked, processes, on_progress)
    if as_json:
        import json

        print(json.dumps(told))
        return 0
    for note in told["notes"]:
        print(f"note: {printable(note)}")
    total = sum(told["images"].values())
    for name, images in told["images"].items():
        classes = sum(bool(of[name]) for of in told["classes"].values())
        of_classes = f"  {classes:,} of {len(told['classes']):,} classes" if told["classes"] else ""
        print(f"{name:6}{images:10,} images {images / total:7.2%}{of_classes}")
    if told["groups_of_several"]:
        print(f"{told['groups_of_several']:,} groups of several images stay together")
    if told["damaged"]:
        print(f"{told['damaged']:,} images do not decode and are left out; `fewer data check` lists them")
    if told["left_over"]:
        print(f"{told['left_over']:,} images are left over")
    print(printable(f"{told['as']} in {out}, checked: no image lies in two splits"))
    print(printable(f"train on it: `{told['train']}`"))
    return 0
