"""`fewer init`: a recipe for images, fitted to them and to this machine, as a file to edit."""

from __future__ import annotations

from typing import Annotated

import typer

from fewer.cli.options import Overrides


def init(
    source: Annotated[
        str, typer.Argument(help="Images: a folder, a tar, digits, cifar10, ...", show_default=False, metavar="SOURCE")
    ],
    overrides: Overrides = None,
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe",
            help="A ready recipe (fewer recipes), or the end of its name, such as progressive; left out: chosen.",
            show_default=False,
        ),
    ] = "",
    probes: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Time a few steps, which may decide about the side of photos.")
    ] = True,
) -> int:
    """Write a recipe for images on stdout, fitted to them and to this machine: fewer init photos/ > photos.toml."""
    from fewer.cli.given import chosen

    place, overrides = _source(source), overrides or []
    print(_ready(recipe, place, overrides, probes) if recipe else chosen(place, overrides, 1, probes).text, end="")
    return 0


def _source(place: str) -> str:
    """The source that is meant, which is no recipe."""
    from pathlib import Path

    from fewer.core.errors import RecipeError
    from fewer.core.text import command
    from fewer.data import sources

    source = sources.named(place, Path.cwd())
    if Path(place).is_file() and place.endswith(".toml"):
        raise RecipeError(f"{place}: a recipe already; {command('fewer', 'plan', place)} says what it would do")
    if not sources.is_source(source):
        raise RecipeError(sources.no_data(place))
    return source


def _ready(name: str, source: str, overrides: list[str], probes: bool) -> str:
    """The text of a ready recipe; what was fitted, and why, goes to stderr."""
    import sys

    from fewer.cli.given import look_at
    from fewer.recipe.shipped import named

    named(name)
    look_at(source)
    from fewer.core.errors import printable
    from fewer.report.units import roughly
    from fewer.session.ready import fit_ready

    ready = fit_ready(name, source, overrides, probes)
    data = ready.plan.facts.data
    images = data.train_images + data.val_images + data.test_images
    lines = [
        f"{ready.name}, for {images:,} images of {data.native_side_px} px in {len(data.classes)} classes:",
        *(f"- {change}" for change in ready.changes or ["nothing had to be fitted"]),
        f"takes: {roughly(ready.seconds) if ready.seconds else 'not timed'} on this machine; `fewer plan` tells more",
    ]
    for line in lines:
        print(printable(line), file=sys.stderr, flush=True)
    return ready.text
