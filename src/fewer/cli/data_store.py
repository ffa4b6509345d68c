"""`fewer data store`: the training images, made smaller once, in one file that loader processes share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import typer

from fewer.cli.options import Json
from fewer.cli.progress import reading_images

if TYPE_CHECKING:
    from fewer.data.pictures.build import Order

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def store(
    place: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|SOURCE",
            help="A recipe, whose training images and sides are taken, or a source with --side.",
            show_default=False,
        ),
    ],
    side_px: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--side",
            min=8,
            max=4096,
            help="Shorter side of the pictures, px; by default what the recipe's largest stage needs.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--out", help="The file; by default one in the cache folder, which runs find.", show_default=False
        ),
    ] = None,
    max_size: Annotated[str, typer.Option("--max-size", help="The most that it may take, such as 2GB.")] = "10GB",
    form: Annotated[
        Literal["auto", "raw", "jpeg"],
        typer.Option("--format", help="Uncompressed, as JPEGs, or uncompressed where size and disk allow it."),
    ] = "auto",
    as_json: Json = False,
) -> int:
    """Build a store: images made smaller once, memory-mapped by all processes of a run.

    Interrupted or killed, the same command goes on where it stopped. A run uses a store in the cache folder by itself
    (data.store).
    """
    max_bytes = _bytes(max_size)
    order, hint = _order(place, side_px, out, form, max_bytes)
    import time

    from fewer.core.errors import printable
    from fewer.data.pictures.build import build

    began = time.monotonic()
    with reading_images() as on_progress:
        built, images = build(order, on_progress)
    of, size = built.description, built.path.stat().st_size
    if as_json:
        import json

        print(json.dumps({"schema": 1, "path": str(built.path), "side_px": of.side_px, "form": of.form,
                          "images": of.images, "bytes": size, "decoded": images, "damaged": built.damaged(),
                          "seconds": time.monotonic() - began}))  # fmt: skip
        return 0
    done = f"{images:,} decoded now, in {time.monotonic() - began:.1f} s" if images else "there already"
    print(printable(f"{built.path}: {of.images:,} images of {of.source} with shorter sides up to {of.side_px} px, "
                    f"{of.form}, {size / 1e6:,.1f} MB; {done}"))  # fmt: skip
    if damaged := built.damaged():
        images_are = "1 image" if damaged == 1 else f"{damaged:,} images"
        print(f"{images_are} cannot be decoded; data.damaged says what a run does about that")
    if hint:
        print(printable(hint))
    return 0


def _order(place: str, side_px: int | None, out: Path | None, form: str, max_bytes: int) -> tuple[Order, str]:
    """What is to be built, and what else has to be done for a run to use it."""
    from fewer.core.errors import RecipeError
    from fewer.data import sources
    from fewer.data.depth import depth_of
    from fewer.data.pictures.build import Order
    from fewer.data.pictures.sources import default_path

    asked: Literal["auto"] | int = "auto"
    cache = True
    if place.endswith(".toml"):
        from fewer.plan.stages import stages_of
        from fewer.plan.stores import store_side_px
        from fewer.recipe.parse import load_recipe
        from fewer.recipe.places import require_data
        from fewer.session.build import open_data

        recipe = load_recipe(Path(place))
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"store": "none"})})
        require_data(recipe)
        train = open_data(recipe).train
        source, asked, cache = train.source, recipe.data.depth, recipe.data.cache == "auto"
        side_px = side_px or store_side_px(recipe, stages_of(recipe, train.native_side_px()))
    else:
        text = sources.named(place, Path.cwd())
        if not sources.is_source(text):
            raise RecipeError(sources.neither(place))
        if side_px is None:
            raise RecipeError(
                f"{place}: how large shall the pictures be? fix: --side PX, such as 1.4 times the side that is trained "
                "on, or a recipe in place of the source"
            )
        source = sources.open_source(sources.absolute(text, Path.cwd()))
    depth, _ = depth_of(source, asked)  # type: ignore[arg-type]
    path = out.resolve() if out else default_path(source, side_px)
    if path.is_dir():
        path = path / default_path(source, side_px).name
    hint = f'data.store = "{path}" uses it' if out else ""
    return Order(source, side_px, path, form, max_bytes, depth, cache=cache), hint


def _bytes(text: str) -> int:
    """The bytes that a text such as "2GB" or "500MB" states."""
    from fewer.core.errors import RecipeError

    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]B)\s*", text, re.IGNORECASE)
    if not found or not float(found[1]):
        raise RecipeError(f'--max-size "{text}": give a size such as 500MB or 2GB')
    return int(float(found[1]) * _UNITS[found[2].upper()])
